;; Crashes at once.
(func $run (param $call i32) (result i32)
  unreachable)
