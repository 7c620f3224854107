;; Wants to reach the network by an interface that nobody granted.
(import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle))
(func $run (param $call i32) (result i32)
  (call $handle)
  unreachable)
