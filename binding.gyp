{
  "targets": [
    {
      "target_name": "vhost_ts",
      "sources": [
        "native/core/data-plane.cc",
        "native/core/descriptor-chain.cc",
        "native/core/dirty-log.cc",
        "native/core/fault-guard.cc",
        "native/core/data-plane-frames.cc",
        "native/core/frame-receiver.cc",
        "native/core/guest-memory.cc",
        "native/core/host-file.cc",
        "native/core/inflight-area.cc",
        "native/core/memory-region.cc",
        "native/core/operation-runner.cc",
        "native/core/operation.cc",
        "native/core/split-inflight.cc",
        "native/core/split-ring.cc",
        "native/core/tap.cc",
        "native/core/thread-engine.cc",
        "native/core/transfer.cc",
        "native/core/unix-socket.cc",
        "native/core/uring-engine.cc",
        "native/core/vring.cc",
        "native/binding/addon.cc",
        "native/binding/arguments.cc",
        "native/binding/data-plane-binding.cc",
        "native/binding/descriptor-binding.cc",
        "native/binding/inflight-binding.cc",
        "native/binding/log-binding.cc",
        "native/binding/memory-binding.cc",
        "native/binding/socket-binding.cc",
        "native/binding/tap-binding.cc",
        "native/binding/watcher-binding.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17"],
      "cflags_cc": ["-std=c++20", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra"],
      "ldflags": ["-Wl,-z,nodelete"],
      "libraries": ["-l:liburing.a"]
    }
  ]
}
