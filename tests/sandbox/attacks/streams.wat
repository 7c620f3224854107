;; Opens standard error for ever and never closes it.
(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
(func $run (param $call i32) (result i32)
  (loop $on (drop (call $stderr)) (br $on))
  unreachable)
