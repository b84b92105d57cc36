// The functions of Node.js are in the program that has loaded this addon, whatever its file is called: a renamed
// node.exe, or an application that Node.js is built into.
#include <windows.h>

#include <delayimp.h>
#include <string.h>

static FARPROC WINAPI find_node(unsigned event, PDelayLoadInfo info) {
  if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) return NULL;
  // Where Node.js is a library of the program, it is that one.
  HMODULE node = GetModuleHandleA("libnode.dll");
  return (FARPROC)(node != NULL ? node : GetModuleHandleA(NULL));
}

PfnDliHook __pfnDliNotifyHook2 = find_node;
