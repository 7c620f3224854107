;; Tells how far it is for ever.
(import "bandstand:agent/progress@0.1.0" "report" (func $report (param i32 f64 i32 i32)))
(data (i32.const 2048) "nearly there")
(func $run (param $call i32) (result i32)
  (loop $on
    (call $report (i32.const 1) (f64.const 0.5) (i32.const 2048) (i32.const 12))
    (br $on))
  unreachable)
