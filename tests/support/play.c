/* Runs scripts (script.h) through a pipeline into a tree or a log (tree.h). */
#include "tests/support/play.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/script.h"
#include "store/store.h"
#include "tests/support/tree.h"
#include "user/batch.h"
#include "user/raw.h"

int play_push(void *arg, const struct osp_input *in)
{
	return osp_pipeline_push(arg, in);
}

static void check(int r)
{
	if (r) {
		fprintf(stderr, "play: %s\n", strerror(-r));
		abort();
	}
}

static struct osp_pipeline *start(const struct osp_catalogue *c, const char *text, osp_sink_fn sink,
				  void *arg)
{
	struct osp_pipeline_limits limits;
	struct osp_pipeline *p;

	script_limits(text, &limits);
	check(osp_pipeline_new(&p, c, &limits, sink, arg));
	return p;
}

void play_to(const struct osp_catalogue *c, const char *name, const char *text, osp_sink_fn sink,
	     void *arg)
{
	struct osp_pipeline *p = start(c, text, sink, arg);
	struct script *s = script_new(c, name, play_push, p);

	check(script_text(s, text));
	script_free(&s);
	osp_pipeline_free(&p);
}

char *play_tree(const struct osp_catalogue *c, const char *name, const char *text)
{
	struct tree *tree = tree_new();
	char *result;

	play_to(c, name, text, tree_sink, tree);
	result = tree_text(tree);
	tree_free(&tree);
	return result;
}

char *play_log(const struct osp_catalogue *c, const char *name, const char *text)
{
	char *result = NULL;
	size_t size;
	FILE *log = open_memstream(&result, &size);

	play_to(c, name, text, tree_log, log);
	fclose(log);
	return result;
}

static int push_and_settle(void *arg, const struct osp_input *in)
{
	int r = osp_pipeline_push(arg, in);

	return r ? r : osp_pipeline_settle(arg);
}

char *play_settled_log(const struct osp_catalogue *c, const char *name, const char *text)
{
	char *result = NULL;
	size_t size;
	FILE *log = open_memstream(&result, &size);
	struct osp_pipeline *p = start(c, text, tree_log, log);
	struct script *s = script_new(c, name, push_and_settle, p);

	check(script_text(s, text));
	script_free(&s);
	osp_pipeline_free(&p);
	fclose(log);
	return result;
}

static int write_raw(void *arg, const struct osp_input *in)
{
	return osp_raw_write(arg, in);
}

static FILE *capture(const struct osp_catalogue *c, const char *name, const char *text)
{
	FILE *file = tmpfile();
	struct osp_raw *raw;
	struct script *s;

	if (!file)
		abort();
	check(osp_raw_create(&raw, file, c));
	s = script_new(c, name, write_raw, raw);
	check(script_text(s, text));
	script_free(&s);
	osp_raw_free(&raw);
	rewind(file);
	return file;
}

char *play_raw_log(const struct osp_catalogue *c, const char *name, const char *text)
{
	FILE *file = capture(c, name, text), *log;
	struct osp_catalogue_error error;
	struct osp_pipeline *p;
	struct osp_raw *raw;
	struct osp_input in;
	char *result = NULL;
	size_t size;
	int r;

	check(osp_raw_open(&raw, file, &error));
	log = open_memstream(&result, &size);
	p = start(osp_raw_catalogue(raw), text, tree_log, log);
	while (!(r = osp_raw_read(raw, &in)))
		check(osp_pipeline_push(p, &in));
	if (r != 1)
		check(r);
	osp_pipeline_free(&p);
	osp_raw_free(&raw);
	fclose(log);
	fclose(file);
	return result;
}

static int into_batch(void *arg, const struct osp_part *part)
{
	return osp_batch_add(arg, part);
}

void play_session(const struct osp_catalogue *c, const char *text, const char *path,
		  const struct osp_part *more, size_t count)
{
	static const struct osp_session_row rows[] = {{OSP_SESSION_ID, "5eed5eed5eed5eed"},
						      {OSP_SESSION_ENDED, "1740830400000000000"}};
	struct osp_store *store = NULL;
	struct osp_batch *batch = NULL;
	char uri[128], error[512];

	snprintf(uri, sizeof(uri), "sqlite:%s", path);
	check(osp_store_open(&store, uri, OSP_STORE_OVERWRITE, error));
	check(osp_batch_new(&batch, store, 1 << 24));
	for (int i = 0; i < 2; i++)
		check(osp_batch_add(
			batch, &(struct osp_part){.kind = OSP_PART_SESSION, .session = rows[i]}));
	play_to(c, "session", text, into_batch, batch);
	for (size_t i = 0; i < count; i++)
		check(osp_batch_add(batch, &more[i]));
	check(osp_batch_flush(batch));
	osp_batch_free(&batch);
	check(osp_store_close(&store, true));
}
