;; Says that its answer has a gibibyte, more than its memory.
(func $run (param $call i32) (result i32)
  (call $ok (i32.const 2048) (i32.const 0x40000000)))
