;; Its answer is really there: 400 MiB, in a memory that is allowed to be that large.
(func $run (param $call i32) (result i32)
  (drop (memory.grow (i32.const 6500)))
  (call $ok (i32.const 65536) (i32.const 419430400)))
