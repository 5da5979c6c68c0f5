// The graph that the probe runs, in bytes: writing it would load tfjs, which takes most of a second.

/** The ONNX model y = x + x of three f32 numbers, as GraphWriter writes it. */
export const DOUBLE =
  'CAg6WwoWCgF4CgF4EgMjdjAaAm4wIgNBZGQ6AAoYCgMjdjASAXkaBG91dDAiCElkZW50aXR5EgVzaG9hbFoPCgF4EgoKCAgBEgQKAggDYg8KAXkSCgoICAESBAoCCANCBAoAEBJCEQoNY29tLm1pY3Jvc29mdBAB'
