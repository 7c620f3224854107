;; A function of no agent: says that its list has a thousand million items.
(func (export "test:foreign/it#f") (param i32) (result i32)
  (i32.store (i32.const 1024) (i32.const 2048))
  (i32.store (i32.const 1028) (i32.const 1000000000))
  (i32.const 1024))
