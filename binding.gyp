{
  "targets": [
    {
      "target_name": "hawser",
      "sources": ["<!@(node scripts/native-sources.mjs --list <(OS))"],
      "include_dirs": [
        "native",
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "<!@(node scripts/libsodium.mjs --include-dirs)"
      ],
      "libraries": ["<!@(node scripts/libsodium.mjs --libraries)"],
      "defines": [
        "NAPI_VERSION=8",
        "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS",
        # A worker thread may be terminated while it is in here: nothing can be thrown then, and node-addon-api would abort the process.
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "HAWSER_VERSION=<!(node -p \"require('./package.json').version\")"
      ],
      "cflags!": ["-fexceptions"],
      "cflags_cc!": ["-fexceptions", "-frtti", "-std=gnu++14", "-std=gnu++17", "-std=gnu++20"],
      "cflags": ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti", "-fvisibility-inlines-hidden"],
      "conditions": [
        ["OS=='linux'", { "ldflags": ["-Wl,--exclude-libs,ALL", "-Wl,-z,now", "-Wl,--gc-sections"] }],
        [
          "OS=='mac'",
          {
            "xcode_settings": {
              "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
              "CLANG_CXX_LIBRARY": "libc++",
              "GCC_ENABLE_CPP_EXCEPTIONS": "NO",
              "GCC_ENABLE_CPP_RTTI": "NO",
              "GCC_OPTIMIZATION_LEVEL": "3",
              "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
              "MACOSX_DEPLOYMENT_TARGET": "11.0"
            }
          }
        ],
        [
          "OS=='win'",
          {
            "defines": ["SODIUM_STATIC", "NOMINMAX", "WIN32_LEAN_AND_MEAN"],
            "libraries": ["ws2_32.lib"],
            "msvs_settings": {
              "VCCLCompilerTool": { "AdditionalOptions": ["/std:c++20"], "ExceptionHandling": 0 }
            }
          }
        ]
      ]
    }
  ]
}
