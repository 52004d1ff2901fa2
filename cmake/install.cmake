# SPDX-License-Identifier: MIT
# What `cmake --install` leaves: headers, both libraries, the command, a CMake package, a pkg-config file, and commands
# for gdb.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/urge DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
install(TARGETS urge_static urge_shared urge_prologue_object EXPORT urge-targets
        OBJECTS DESTINATION ${CMAKE_INSTALL_LIBDIR}/urge
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET urge_command)
  install(TARGETS urge_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES ${PROJECT_SOURCE_DIR}/tools/gdb/urge-gdb.py DESTINATION ${CMAKE_INSTALL_DATADIR}/urge)

set(urge_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/urge)
install(EXPORT urge-targets NAMESPACE urge:: DESTINATION ${urge_package_dir})
configure_package_config_file(cmake/urge-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/urge-config.cmake
                              INSTALL_DESTINATION ${urge_package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/urge-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/urge-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/urge-config-version.cmake
              ${PROJECT_SOURCE_DIR}/cmake/prologue_checks.cmake
        DESTINATION ${urge_package_dir})

# The prefix as seen from the file, so that the installed tree can be moved.
string(REGEX REPLACE "[^/]+" ".." URGE_PC_UP ${CMAKE_INSTALL_LIBDIR})
configure_file(cmake/urge.pc.in ${CMAKE_CURRENT_BINARY_DIR}/urge.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/urge.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
