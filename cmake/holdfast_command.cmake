# The operator's command, and what it writes of itself: manual pages and completions.
hf_room(cli LINK hf_client)
add_executable(holdfast-command cli/main.c)
set_target_properties(holdfast-command PROPERTIES OUTPUT_NAME holdfast) # the library has the name of the target
target_link_libraries(holdfast-command PRIVATE hf_cli)

set(HF_PAGES ${CMAKE_BINARY_DIR}/pages)
add_custom_command(
  OUTPUT ${HF_PAGES}/stamp
  COMMAND ${CMAKE_COMMAND} -E make_directory ${HF_PAGES}
  COMMAND $<TARGET_FILE:holdfast-command> internal man-pages ${HF_PAGES}/man1
  COMMAND $<TARGET_FILE:holdfast-command> completion bash >${HF_PAGES}/holdfast
  COMMAND $<TARGET_FILE:holdfast-command> completion zsh >${HF_PAGES}/_holdfast
  COMMAND ${CMAKE_COMMAND} -E touch ${HF_PAGES}/stamp
  DEPENDS holdfast-command)
add_custom_target(holdfast-pages ALL DEPENDS ${HF_PAGES}/stamp)

install(TARGETS holdfast-command RUNTIME DESTINATION bin COMPONENT command)
install(DIRECTORY ${HF_PAGES}/man1 DESTINATION share/man COMPONENT command)
install(FILES ${HF_PAGES}/holdfast DESTINATION share/bash-completion/completions COMPONENT command)
install(FILES ${HF_PAGES}/_holdfast DESTINATION share/zsh/site-functions COMPONENT command)
