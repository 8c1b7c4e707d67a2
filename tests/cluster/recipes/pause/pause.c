/* Holds a pod's namespaces: sleeps until told to stop, and buries the orphans that the pod leaves to process 1. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void stop(int number) { (void)number; _exit(0); }
static void bury(int number) { (void)number; while (waitpid(-1, NULL, WNOHANG) > 0); }

int main(int count, char **words) {
  if (count > 1 && strcmp(words[1], "-v") == 0) return printf("pause.c 3.10\n") < 0;
  if (sigaction(SIGINT, &(struct sigaction){.sa_handler = stop}, NULL) ||
      sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL) ||
      sigaction(SIGCHLD, &(struct sigaction){.sa_handler = bury, .sa_flags = SA_NOCLDSTOP}, NULL)) return 1;
  for (;;) pause();
}
