;; Opens a socket. The interface is there, for toolchains that always import it; behind it is nothing.
(import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $tcp (param i32 i32)))
(data (i32.const 2048) "refused")
(data (i32.const 2100) "no socket for me")
(func $run (param $call i32) (result i32)
  (call $tcp (i32.const 0) (i32.const 6144))
  ;; The answer at 6144: tag 1 and error code 1, access-denied.
  (if (i32.ne (i32.load8_u (i32.const 6144)) (i32.const 1)) (then unreachable))
  (call $err (i32.const 1) (i32.const 2048) (i32.const 7) (i32.const 2100) (i32.const 16)))
