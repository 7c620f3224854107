;; Loops for ever, calling nothing.
(func $run (param $call i32) (result i32)
  (loop $on (br $on))
  unreachable)
