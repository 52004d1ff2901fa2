# SPDX-License-Identifier: MIT
# urge_prologue_checks(target): compiles a target's C and C++ code so that every function entry is a yield point
# (docs/protocols/prologue_checks.md). For each executable and each library, shared, static or object, on its own.
# A program links urge; so does a library, or it is loaded into a program whose urge it finds (`urge run`).
function(urge_prologue_checks target)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "INTERFACE_LIBRARY")
    message(FATAL_ERROR "urge_prologue_checks: ${target} is an INTERFACE library: it has no code of its own")
  endif()
  # g++ forgets the option in code that it compiles while it links.
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C,CXX>:-fsplit-stack>
                         $<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:GNU>>:-fno-lto>
                         $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fno-lto>)
  # `__morestack` as ours: hidden, so that each module has its own; else the linker would take libgcc's. Objects of an
  # object library go where they are used, and this one with them; twice in one module is once.
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:urge::prologue_object>)
  if(type STREQUAL "OBJECT_LIBRARY")
    target_sources(${target} INTERFACE $<TARGET_OBJECTS:urge::prologue_object>)
  endif()
endfunction()
