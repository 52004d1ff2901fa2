# SPDX-License-Identifier: MIT
# Under a sanitizer the library falls back to cooperative preemption: both keep state behind the thread's TLS base.
if(URGE_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${URGE_SANITIZE}>)
  add_link_options(-fsanitize=${URGE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented code makes g++ see uses of uninitialised optionals that are none.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
    # ThreadSanitizer does not know fences. Ours only order atomics among each other: no plain data depends on them.
    if(URGE_SANITIZE STREQUAL "thread")
      add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-tsan>)
    endif()
  endif()
endif()
