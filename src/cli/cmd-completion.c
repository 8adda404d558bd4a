/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-completion.c - nestbox completion: scripts that have shells complete our command lines
 */
#include "cli/cli.h"
#include "cli/complete.h"

#include <stdio.h>
#include <string.h>

static const opt completion_opts[] = {OPT_END};

/* A word with a colon, BOX:PATH, is several to readline: what stands before its last part is taken off the answers. */
static const char bash_script[] = "# nestbox: completion for bash; in ~/.bashrc:  source <(nestbox completion bash)\n"
                                  "_nestbox() {\n"
                                  "    local IFS=$'\\n' line=\"${COMP_LINE:0:COMP_POINT}\" word words\n"
                                  "    read -r -a words <<<\"${line//[[:space:]]/$'\\n'}\" -d ''\n"
                                  "    [[ $line == *[[:space:]] ]] && words+=('')\n"
                                  "    word=${words[-1]}\n"
                                  "    COMPREPLY=($(\"${words[0]}\" completion words -- \"${words[@]:1}\" 2>/dev/null))\n"
                                  "    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
                                  "        local cut=${word%\"${word##*:}\"} i\n"
                                  "        for i in \"${!COMPREPLY[@]}\"; do COMPREPLY[i]=${COMPREPLY[i]#\"$cut\"}; done\n"
                                  "    fi\n"
                                  "    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]] && compopt -o nospace\n"
                                  "    return 0\n"
                                  "}\n"
                                  "complete -o default -F _nestbox nestbox\n";

static const char zsh_script[] = "#compdef nestbox\n"
                                 "# nestbox: completion for zsh; in ~/.zshrc, after compinit:  source <(nestbox completion zsh)\n"
                                 "_nestbox() {\n"
                                 "    local -a found\n"
                                 "    found=(${(f)\"$(\"${words[1]}\" completion words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
                                 "    if (( ${#found} )); then compadd -- $found; else _files; fi\n"
                                 "}\n"
                                 "compdef _nestbox nestbox\n";

static const char fish_script[] = "# nestbox: completion for fish; in ~/.config/fish/config.fish:  nestbox completion fish | source\n"
                                  "function __nestbox_words\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    $words[1] completion words -- $words[2..-1] 2>/dev/null\n"
                                  "end\n"
                                  "complete -c nestbox -f -n 'count (__nestbox_words) >/dev/null' -a '(__nestbox_words)'\n";

static const struct { const char *shell, *script; } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

static int completion_run(cli *c, void *command_args, int argc, char **argv) {
    if (strcmp(argv[0], "words") == 0) {
        bool marked = argc > 1 && strcmp(argv[1], "--") == 0;
        complete_print(c, argc - 1 - marked, argv + 1 + marked);
        return STATUS_OK;
    }
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        if (argc == 1 && strcmp(argv[0], scripts[i].shell) == 0) {
            (void) fputs(scripts[i].script, stdout);
            return STATUS_OK;
        }
    }
    return cli_usage(c, "'%s': want bash, zsh or fish", argv[0]);
}

const command command_completion = {
    .name = "completion",
    .group = GROUP_OTHER,
    .usage = "SHELL",
    .summary = "Print a script that has bash, zsh or fish complete nestbox's command lines",
    .details = "The script asks this program at each tab, \"completion words -- WORD...\", and so knows commands, options, and the names "
               "of boxes,\n"
               "images and volumes as they are then.",
    .example = "nestbox completion bash >>~/.bash_completion",
    .opts = completion_opts,
    .args_size = 0,
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_FIRST_ONLY,
    .run = completion_run,
};
