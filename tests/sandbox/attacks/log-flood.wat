;; Writes log lines for ever.
(import "bandstand:agent/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
(data (i32.const 2048) "again and again")
(func $run (param $call i32) (result i32)
  (loop $on
    (call $log (i32.const 2) (i32.const 2048) (i32.const 15) (i32.const 0) (i32.const 0))
    (br $on))
  unreachable)
