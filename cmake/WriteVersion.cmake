# Run by each build (RunnelVersion.cmake): finds the commit, writes OUTPUT if it is another one.

# In a `git archive` the commit is in this line (.gitattributes); in a work tree git is asked.
set(COMMIT "$Format:%h$")
if(COMMIT MATCHES "Format")
  execute_process(
    COMMAND git -C "${SOURCE}" describe --always --dirty --abbrev=12 --exclude=*
    OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(COMMIT unknown)
  endif()
endif()
configure_file("${TEMPLATE}" "${OUTPUT}" @ONLY)
