;; Passes over f32 arrays that lie in one memory, four numbers at a time. Addresses are bytes, multiples of 16; an array ends at a multiple of 16 too, and what
;; stands behind its last number is zero. Compiled into parameter-arrays.ts; a test compares the two.
(module
  (import "host" "memory" (memory 1))

  ;; One step of AdamW, in f32 as PyTorch computes it; see adamw.ts.
  (func (export "adamw")
    (param $parameter i32) (param $gradient i32) (param $first i32) (param $second i32) (param $bytes i32)
    (param $scale f32) (param $beta1 f32) (param $rest1 f32) (param $beta2 f32) (param $rest2 f32) (param $epsilon f32)
    (param $keep f32) (param $rate f32) (param $rootCorrection f32)
    (local $g v128) (local $m v128) (local $v v128)
    (loop $next
      (local.set $g (f32x4.mul (v128.load (local.get $gradient)) (f32x4.splat (local.get $scale))))
      (local.set $m
        (f32x4.add
          (f32x4.mul (v128.load (local.get $first)) (f32x4.splat (local.get $beta1)))
          (f32x4.mul (local.get $g) (f32x4.splat (local.get $rest1)))))
      (local.set $v
        (f32x4.add
          (f32x4.mul (v128.load (local.get $second)) (f32x4.splat (local.get $beta2)))
          (f32x4.mul (f32x4.mul (local.get $g) (local.get $g)) (f32x4.splat (local.get $rest2)))))
      (v128.store (local.get $first) (local.get $m))
      (v128.store (local.get $second) (local.get $v))
      (v128.store (local.get $parameter)
        (f32x4.sub
          (f32x4.mul (v128.load (local.get $parameter)) (f32x4.splat (local.get $keep)))
          (f32x4.div
            (f32x4.mul (local.get $m) (f32x4.splat (local.get $rate)))
            (f32x4.add
              (f32x4.mul (f32x4.sqrt (local.get $v)) (f32x4.splat (local.get $rootCorrection)))
              (f32x4.splat (local.get $epsilon))))))
      (local.set $parameter (i32.add (local.get $parameter) (i32.const 16)))
      (local.set $gradient (i32.add (local.get $gradient) (i32.const 16)))
      (local.set $first (i32.add (local.get $first) (i32.const 16)))
      (local.set $second (i32.add (local.get $second) (i32.const 16)))
      (br_if $next (local.tee $bytes (i32.sub (local.get $bytes) (i32.const 16))))))

  ;; into := into + values
  (func (export "add") (param $into i32) (param $values i32) (param $bytes i32)
    (loop $next
      (v128.store (local.get $into) (f32x4.add (v128.load (local.get $into)) (v128.load (local.get $values))))
      (local.set $into (i32.add (local.get $into) (i32.const 16)))
      (local.set $values (i32.add (local.get $values) (i32.const 16)))
      (br_if $next (local.tee $bytes (i32.sub (local.get $bytes) (i32.const 16))))))

  ;; The sum of squares, in f64: f32 would lose what thousands of small numbers have in common.
  (func (export "sumOfSquares") (param $values i32) (param $bytes i32) (result f64)
    (local $four v128) (local $low v128) (local $high v128) (local $a v128) (local $b v128)
    (loop $next
      (local.set $four (v128.load (local.get $values)))
      (local.set $low (f64x2.promote_low_f32x4 (local.get $four)))
      (local.set $high (f64x2.promote_low_f32x4 (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $four) (local.get $four))))
      (local.set $a (f64x2.add (local.get $a) (f64x2.mul (local.get $low) (local.get $low))))
      (local.set $b (f64x2.add (local.get $b) (f64x2.mul (local.get $high) (local.get $high))))
      (local.set $values (i32.add (local.get $values) (i32.const 16)))
      (br_if $next (local.tee $bytes (i32.sub (local.get $bytes) (i32.const 16)))))
    (local.set $a (f64x2.add (local.get $a) (local.get $b)))
    (f64.add (f64x2.extract_lane 0 (local.get $a)) (f64x2.extract_lane 1 (local.get $a)))))
