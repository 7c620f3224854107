;; A function of no agent: gives a million bytes, each of which is a value of its own in the host.
(func (export "test:foreign/it#f") (param i32) (result i32)
  (i32.store (i32.const 1024) (call $alloc (i32.const 1048576)))
  (i32.store (i32.const 1028) (i32.const 1048576))
  (i32.const 1024))
