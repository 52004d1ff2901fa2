# SPDX-License-Identifier: MIT
# Under a sanitizer the library falls back to cooperative preemption: both keep state behind the thread's TLS base.
if(URGE_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${URGE_SANITIZE}>)
  add_link_options(-fsanitize=${URGE_SANITIZE})
endif()
