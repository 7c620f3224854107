;; Grows a table until it is refused, then crashes.
(table $many 1 funcref)
(func $run (param $call i32) (result i32)
  (loop $on (br_if $on (i32.ne (table.grow $many (ref.null func) (i32.const 10000)) (i32.const -1))))
  unreachable)
