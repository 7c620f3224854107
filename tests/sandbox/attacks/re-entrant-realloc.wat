;; Calls the host while the host asks it for room.
(import "bandstand:agent/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
(data (i32.const 2048) "hello")
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (call $log (i32.const 2) (i32.const 2048) (i32.const 5) (i32.const 0) (i32.const 0))
  (i32.const 8192))
(func $run (param $call i32) (result i32)
  (call $ok (i32.const 2048) (i32.const 5)))
