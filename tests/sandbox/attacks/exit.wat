;; Ends "its process", which is the host's.
(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
(func $run (param $call i32) (result i32)
  (call $exit (i32.const 0))
  unreachable)
