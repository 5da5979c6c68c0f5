// onnxruntime's builds for Linux and macOS send Microsoft what they do since 1.29: the processor, the program's path, each graph's name and each error's text,
// under an identifier that they keep in the home directory. One variable stops it, read once, when the library is loaded.
process.env.ORT_DISABLE_TELEMETRY = '1'
