@echo off
rem ImageServing {start|stop|restart|status|...} [is|svg|ps ...]
rem
rem Stands in the install folder's bin\ and passes its arguments on to s7supervisor: the one that
rem S7SUPERVISOR names, else the one beside it, else that on PATH. Its exit status is passed on.
setlocal
if not defined S7_INSTALL_FOLDER for %%I in ("%~dp0..") do set "S7_INSTALL_FOLDER=%%~fI"
if not defined S7SUPERVISOR if exist "%~dp0s7supervisor.exe" set "S7SUPERVISOR=%~dp0s7supervisor.exe"
if not defined S7SUPERVISOR set "S7SUPERVISOR=s7supervisor.exe"
"%S7SUPERVISOR%" %*
exit /b %ERRORLEVEL%
