;; Its answer is not UTF-8.
(data (i32.const 2048) "{\22a\22: \22\ff\fe\22}")
(func $run (param $call i32) (result i32)
  (call $ok (i32.const 2048) (i32.const 11)))
