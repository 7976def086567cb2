# libholdfast for other people's programs, shared and static: the client and what it uses of core, with nothing visible
# but the names of client/holdfast.h. What it needs of core's libraries must also stand in holdfast.pc.in.
include(GNUInstallDirs)

set_target_properties(hf_core hf_client PROPERTIES POSITION_INDEPENDENT_CODE ON)
set(symbols ${CMAKE_SOURCE_DIR}/cmake/libholdfast.map)

add_library(holdfast SHARED $<TARGET_OBJECTS:hf_client>)
set_target_properties(holdfast PROPERTIES LINKER_LANGUAGE C VERSION ${PROJECT_VERSION} SOVERSION 0
  LINK_DEPENDS ${symbols} PUBLIC_HEADER ${CMAKE_SOURCE_DIR}/client/holdfast.h)
target_link_libraries(holdfast PRIVATE hf_core PkgConfig::CURL)
# nodelete: core frees what belongs to a thread when the thread ends, which may be after a dlclose.
target_link_options(holdfast PRIVATE -Wl,--version-script=${symbols} -Wl,-z,nodelete -Wl,--as-needed)

# One object, so that the names of core and of the client's inside can be made local.
set(archive ${CMAKE_BINARY_DIR}/libholdfast.a)
add_custom_command(
  OUTPUT ${archive}
  COMMAND ${CMAKE_LINKER} -r -o holdfast.o --whole-archive $<TARGET_FILE:hf_client> --no-whole-archive
          $<TARGET_FILE:hf_core>
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=holdfast_* holdfast.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${CMAKE_AR} rcs ${archive} holdfast.o
  DEPENDS hf_client hf_core
  WORKING_DIRECTORY ${CMAKE_BINARY_DIR}
  VERBATIM)
add_custom_target(holdfast_static ALL DEPENDS ${archive})

# Found from where the file lies, so that what is installed may be moved.
file(RELATIVE_PATH prefix_from_pc ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
configure_file(${CMAKE_SOURCE_DIR}/cmake/holdfast.pc.in ${CMAKE_BINARY_DIR}/holdfast.pc @ONLY)

install(TARGETS holdfast LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT client
  NAMELINK_COMPONENT client PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT client)
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT client)
install(FILES ${CMAKE_BINARY_DIR}/holdfast.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT client)
