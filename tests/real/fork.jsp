<%@ page contentType="text/plain" %><%-- A child of the JVM, in a session of its own. --%><%= new ProcessBuilder("setsid", "sleep", "infinity").start().pid() %>
