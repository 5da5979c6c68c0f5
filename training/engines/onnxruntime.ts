// onnxruntime, as every engine loads it: the variable that keeps it from telling of its use must stand before the library is there.
import './without-telemetry.ts'

export * from 'onnxruntime-node'
