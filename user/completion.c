/*
 * The completion script (user/completion.h) from the commands' own tables. Fed by generate.c at build
 * time. Owns nothing.
 */
#include "user/completion.h"

#include <argp.h>
#include <ctype.h>

#include "user/command.h"

static const char intro[] =
	"# Completion of outspan's commands and options, for bash. In zsh first:\n"
	"#   autoload -U +X bashcompinit && bashcompinit\n"
	"_outspan()\n"
	"{\n"
	"	local IFS=$'\\n' cur=${COMP_WORDS[COMP_CWORD]} options='--help --usage' words=\n"
	"	COMPREPLY=()\n";

static const char outro[] =
	"	if [[ $cur == -* ]]; then\n"
	"		COMPREPLY=($(IFS=' '; compgen -W \"$options\" -- \"$cur\"))\n"
	"	else\n"
	"		COMPREPLY=($(IFS=' '; compgen -W \"$words\" -- \"$cur\"))\n"
	"		((COMP_CWORD == 1)) || COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
	"	fi\n"
	"}\n"
	"complete -o filenames -F _outspan outspan\n";

static void put_options(FILE *f, const struct argp_option *o)
{
	for (; o->name || o->key || o->doc; o++) {
		if (!o->name)
			continue;
		if (o->key > 0 && o->key < 128 && isprint(o->key))
			fprintf(f, " -%c", o->key);
		fprintf(f, " --%s", o->name);
	}
}

static void put_command(FILE *f, const struct osp_command *c)
{
	const char *word;

	fprintf(f, "\t%s)\n\t\toptions+='", c->name);
	put_options(f, c->argp->options);
	fputs("'\n", f);
	for (size_t i = 0; c->word && (word = c->word(i)); i++)
		fprintf(f, "\t\twords+=' %s'\n", word);
	fputs("\t\t;;\n", f);
}

void osp_completion_print(FILE *f)
{
	const struct osp_command *c;

	fputs(intro, f);
	fputs("\tif ((COMP_CWORD == 1)); then\n\t\toptions='--help --version' words='", f);
	for (size_t i = 0; (c = osp_command_at(i)); i++)
		fprintf(f, "%s%s", i ? " " : "", c->name);
	fputs("'\n\telse case ${COMP_WORDS[1]} in\n", f);
	for (size_t i = 0; (c = osp_command_at(i)); i++)
		put_command(f, c);
	fputs("\tesac; fi\n", f);
	fputs(outro, f);
}
