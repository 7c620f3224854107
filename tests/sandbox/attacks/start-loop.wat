;; Loops for ever before `run` is even called.
(func $begin (loop $on (br $on)))
(start $begin)
(func $run (param $call i32) (result i32)
  unreachable)
