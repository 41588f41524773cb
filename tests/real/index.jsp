<%@ page contentType="text/plain" %>ps <%= ProcessHandle.current().pid() %>
