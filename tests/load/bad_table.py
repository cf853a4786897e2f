"""What is wrong with each file of `bad/`: (line, words that its message holds); line 0 has no place."""

from __future__ import annotations

EXPECTED: dict[str, list[tuple[int, str]]] = {
    "appends_by_item": [
        (5, 'which file `"logs/{{item.lang}}.jsonl"` appends to is not known'),
    ],
    "appends_shared": [
        (10, "`logs/all.jsonl` is appended to by step `a` too"),
        (13, "`logs/all.jsonl` is what step `a` appends to, item by item"),
    ],
    "appends_two_spellings": [
        (8, "`logs/a.jsonl` is appended to under two spellings"),
        (11, 'which file `"{{env.LOGS}}/b.jsonl"` appends to is not known before'),
    ],
    "appends_unknown": [
        (7, 'which file `"$LOGDIR/a.jsonl"` writes is not known before the run:'),
        (10, 'which file `"$NOWHERE/{{i}}.json"` writes is not known before the'),
        (13, 'the name of the file `"logs/$TOKEN.jsonl"` would hold the secret'),
        (17, 'which file `"$PENSTOCK_RUN_DIR/d.jsonl"` appends to is not known'),
    ],
    "condition_bare_roots": [
        (8, "`outputs` needs a name that is known before the run"),
        (8, "`steps` needs the id of a step"),
        (8, "`run` needs a field"),
    ],
    "condition_names": [
        (8, "`env` has no entry `MOD`"),
        (8, "`run` has no field `name`"),
        (8, "`b` does not need step `c`"),
        (8, "`steps.b` is this step itself"),
        (8, "there is no step `aa`"),
        (12, "`chain` is known only in a step that maps over `steps.ID`"),
        (12, "`origin` is known only in a step that maps over `steps.ID`"),
        (16, "step `a` is not on the way of this item"),
        (17, "step `cc` is not on the way of this item"),
    ],
    "conditions": [
        (5, "the condition ends too early"),
        (8, "`when` must be a condition such as `outputs.verify.accept_rate >"),
        (11, "`=` is not part of the language"),
        (14, "there is no name item here"),
        (17, "this ( is not closed"),
        (23, "there is no name itm here"),
        (27, "`when` is empty; it must be a condition such as"),
    ],
    "counts": [
        (6, "`concurrency` must be a whole number of at least 1, not the number 0"),
        (7, "`max_failures` must be a whole number of at least 0, not the number -1"),
        (11, '`concurrency` must be a whole number of at least 1, not the text "010"'),
        (12, '`max_failures` must be a percentage such as `5%`, not the text "120%"'),
        (16, "`concurrency` must be a whole number of at least 1, not the number 2.0"),
        (17, '`max_failures` must be a percentage such as `5%`, not the text "some"'),
        (19, "a row of `foreach` must be JSON, which has no infinity and no NaN,"),
        (19, "a row of `foreach` must be JSON, which has no infinity and no NaN,"),
    ],
    "cycle_of_two": [
        (4, "these steps need each other: `hen` → `egg` → `hen`"),
    ],
    "cycles": [
        (4, "these steps need each other: `a` → `c` → `b` → `a`"),
        (15, "these steps need each other: `x` → `y` → `x`"),
    ],
    "duplicate_ids": [
        (8, "a second step called `report`; the first is on line 3"),
    ],
    "durations": [
        (3, "`defaults.timeout` must be a duration such as `300ms`, `30s`, `5m`,"),
        (7, "`timeout` must be a duration such as `300ms`, `30s`, `5m`, `2h` or"),
        (10, "`timeout` is no time at all"),
        (13, "`timeout` must be a duration such as `300ms`, `30s`, `5m`, `2h` or"),
        (16, "`retry.backoff.base` must be a duration such as `300ms`, `30s`, `5m`,"),
        (16, "`retry.backoff.cap` must be a duration such as `300ms`, `30s`, `5m`,"),
    ],
    "empty_run": [
        (4, "`run` is empty; it must be a shell text"),
        (6, "`run` is empty; it must be a shell text"),
        (8, "`run` is empty; it must be a shell text"),
        (10, "a step must say what it does"),
    ],
    "empty_workflow": [
        (1, "`name` is empty; it must be text"),
        (2, "`version` is empty; it must be 1, the one version that there is"),
        (3, "`steps` is empty; it must be a list of steps"),
    ],
    "env_references": [
        (6, "`ROOTS` is set neither above nor in the environment"),
        (8, "`LATER` is declared here or below"),
        (10, "this `${` is never closed"),
        (11, "`${ROOT:-x}`: only a variable's name can stand between the braces"),
        (12, "`API_KEY` is a secret, and its value must not become part of another"),
        (13, "`API_KEY` is declared under `secrets` too"),
        (14, "placeholders are filled in `run` texts only"),
        (18, "`FRIST` is set neither above nor in the environment"),
    ],
    "foreach_branches": [
        (7, "`steps.triage` has no branch `legal`"),
        (10, "`steps.triage` has no branch `acepted`"),
        (13, "`steps.triage.` lacks its last word"),
    ],
    "foreach_formats": [
        (4, "`data/rows.parquet`: rows are read from `.jsonl.gz`, `.jsonl`,"),
        (7, "`data`: rows are read from `.jsonl.gz`, `.jsonl`, `.json` or `.csv`"),
        (10, "`https://example.com/rows`: rows are read from `.jsonl.gz`, `.jsonl`,"),
        (13, "`foreach` must be a path, `steps.ID`, or a list of rows, not a mapping"),
        (16, "`foreach` must be a path, `steps.ID`, or a list of rows, not the"),
        (19, "`foreach` is empty; it must be a path, `steps.ID`, or a list of rows"),
    ],
    "foreach_missing": [
        (4, "there is no file `data/row.jsonl`, and no step says that it writes it"),
        (7, "there is no file `date/rows.jsonl`, and no step says that it writes it"),
        (10, "there is no file `nothing/at/all.csv`, and no step says that it"),
    ],
    "foreach_not_declared": [
        (7, "there is no file `data/prepared.jsonl`, and no step says that it"),
    ],
    "foreach_not_needed": [
        (9, "`data/prepared.jsonl` is written by step `prepare`, which `work` does"),
    ],
    "foreach_own_records": [
        (4, "`a` maps over its own records"),
    ],
    "foreach_pattern": [
        (4, "there is no file `data/*.jsonl`"),
        (7, "there is no file `~/rows.jsonl`, and no step says that it writes it"),
        (10, "there is no file `data/nothing.jsonl`, and no step says that it"),
    ],
    "ids": [
        (3, '`id` must be a name such as `my_step`, not the text "my step"'),
        (5, '`id` must be a name such as `my_step`, not the text "2nd"'),
        (7, "`id` must be a name such as `my_step`, not the number 7"),
        (9, "a step has no `id`"),
        (10, "`id` must be a name such as `my_step`, not `null`"),
    ],
    "inputs": [
        (5, "there is no file `data/schema.jsn`, and no step says that it writes it"),
        (5, "no file fits `data/*.txt`, and no step says that it writes it"),
        (5, "there is no file `data/nowhere`, and no step says that it writes it"),
        (10, "`config.json` is written by step `b`, which `c` does not need"),
        (16, "`out/*.json` is written by step `d`, which `e` does not need"),
        (16, "`out` is written by step `d`, which `e` does not need"),
    ],
    "items_share_files": [
        (9, "step `a` writes the same file for each item"),
    ],
    "keep_and_replace": [
        (2, '`keep` must be a list of paths, not the text "logs/a.jsonl"'),
        (7, "`logs/a.jsonl` stands under `keep` and `replace`"),
    ],
    "korean": [
        (3, '`id` must be a name such as `my_step`, not the text "준비"'),
        (6, "{{itme}}: there is no placeholder `itme`"),
        (7, "`설명` is no key of a step"),
    ],
    "later_kinds": [
        (5, "this version of Penstock does not know `generate` steps yet"),
        (8, "this version of Penstock does not know `verify` steps yet"),
        (10, "this version of Penstock does not know `route` steps yet"),
        (13, "this version of Penstock does not know `approve` steps yet"),
        (16, "this version of Penstock does not know `generate` steps yet"),
        (21, "this version of Penstock does not know model calls and their"),
    ],
    "later_top_keys": [
        (2, "this version of Penstock does not know models (`models`) yet"),
        (4, "this version of Penstock does not know budgets (`budget`) yet"),
        (5, "this version of Penstock does not know sampling (`sample`) yet"),
        (6, "this version of Penstock does not know the model gateway (`gateway`)"),
        (7, "this version of Penstock does not know model calls and `allow_hosts`"),
        (8, "this version of Penstock does not know secrets from a command or a"),
        (9, "this version of Penstock does not know the model gateway (`gateway`)"),
    ],
    "many_at_once": [
        (4, "`OUTPUT` is set neither above nor in the environment"),
        (8, "`retries` is no key of a step"),
        (11, "these steps need each other: `second` → `third` → `second`"),
        (17, "`>>` is not part of the language"),
        (22, "`concurrency` must be a whole number of at least 1, not the text"),
        (25, "`{{item.n}}` stands in the words of `let`, which evaluates them"),
        (28, "there is no step `sixth`"),
    ],
    "needs_forms": [
        (6, "an element of `needs` must be a step's id, or `{id, accept}`, not the"),
        (6, "an element of `needs` must be a step's id, or `{id, accept}`, not a"),
        (6, "a need has no `id`"),
        (6, "`step` is no key of a need"),
        (6, 'an element of `accept` must be `skipped`, not the text "failed"'),
    ],
    "needs_itself_and_twice": [
        (6, "`b` needs itself"),
        (6, "`a` is needed twice"),
    ],
    "no_name_no_steps": [
        (1, "a workflow has no `name`"),
        (1, "a workflow has no `steps`"),
    ],
    "no_steps_in_list": [
        (2, "`steps` is empty; it must be a list of steps"),
    ],
    "not_yours": [
        (4, "this writes the workflow file itself"),
        (7, "the folder .penstock is Penstock's own"),
    ],
    "outputs_ambiguous": [
        (9, "`outputs.total` may be `north/total.json` of step `north` or"),
    ],
    "outputs_ambiguous_in_one_step": [
        (9, "`outputs.total` may be `a/total.json` of step `sums` or"),
        (10, "`outputs.sums.total` may be `a/total.json` of step `sums` or"),
    ],
    "outputs_ambiguous_with_id": [
        (9, "`outputs.total` may be the record of step `total` or `total.json` of"),
    ],
    "outputs_declared": [
        (5, "two outputs of this step are called `x`"),
        (8, "`my name` in `outputs` must be a name such as `summary`"),
        (8, "`y` in `outputs` is empty; it must be a path"),
        (8, "`z` in `outputs` must be a path, not a list"),
        (8, "placeholders are filled in `run` texts only"),
        (11, "`outputs` must be a list of paths, or a mapping of names to paths,"),
    ],
    "outputs_no_json": [
        (8, "`out/rows.jsonl` is no `.json` file: its value is its text, which has"),
    ],
    "outputs_not_needed": [
        (10, "`outputs.summary` is `logs/summary.json` of step `route`, which"),
        (11, "`outputs.route` is the record of step `route`, which `apply` does not"),
    ],
    "outputs_own": [
        (5, "`outputs.a` is what this step itself gives"),
        (5, "`outputs.summary` is what this step itself gives"),
    ],
    "outputs_summary_fields": [
        (8, "the record of `verify`, a foreach step, has no field `acceptrate`"),
    ],
    "outputs_unknown": [
        (11, "nothing is called `outputs.rout_summary`"),
        (12, "nothing is called `outputs.nothing_like_it`"),
    ],
    "overwritten_by_each": [
        (5, "each item would overwrite `out.json`"),
        (8, 'each item would overwrite `"{{run.id}}.json"`'),
    ],
    "placeholders": [
        (7, "{{itm.name}}: there is no placeholder `itm`"),
        (8, "{{run.name}}: `run` has `id` and `dir`"),
        (10, "{{item}}: this step has no `foreach`, so there is no item"),
        (13, "`origin` is known only in a step that maps over `steps.ID`"),
        (13, "`env` has no entry `HOME`"),
    ],
    "reads_what_it_writes": [
        (4, "this step reads `data/rows.jsonl` and writes it too"),
    ],
    "retry": [
        (3, "`defaults.retry.attempts` must be a whole number of at least 1, not"),
        (3, "`defaults.retry.on` must be a list of `exit` and `timeout`, not the"),
        (7, "`retry` must be a mapping of keys to values, not the number 3"),
        (10, "`atempts` is no key of `retry`"),
        (10, "an element of `retry.on` must be `exit` or `timeout`, not the text"),
        (10, "an element of `retry.on` must be `exit` or `timeout`, not the text"),
        (13, "`retry.attempts` must be a whole number of at least 1, not the number"),
        (13, "`retry.on` is empty; it must be a list of `exit` and `timeout`"),
        (13, '`retry.backoff` must be a mapping of keys to values, not the text "2s"'),
        (16, "this version of Penstock does not know retries of model calls"),
    ],
    "secrets": [
        (2, "an element of `secrets` must be a variable's name such as `MY_NAME`,"),
        (6, "`APIKEY` is no secret of this workflow"),
        (6, "`OTHER` is no secret of this workflow"),
    ],
    "shells": [
        (4, "`shell` is empty; it must be a list of words"),
        (7, "`shell` has a quote that is never closed"),
        (10, "`shell` must be a shell such as `bash`, or a list of words, not the"),
    ],
    "step_a_text": [
        (3, "an element of `steps` must be a mapping of keys to values, not the"),
        (4, "an element of `steps` must be a mapping of keys to values, not a list"),
        (5, "an element of `steps` is empty; it must be a mapping of keys to values"),
    ],
    "steps_a_mapping": [
        (3, "`steps` must be a list of steps, not a mapping"),
    ],
    "unknown_needs": [
        (6, "there is no step `prepar`"),
        (6, "there is no step `fetch`"),
        (14, "there is no step `wrok`"),
    ],
    "unknown_step_keys": [
        (5, "`depends_on` is no key of a step"),
        (6, "`forEach` is no key of a step"),
        (7, "`time_out` is no key of a step"),
        (8, "`if` is no key of a step"),
    ],
    "unknown_top_keys": [
        (1, "`nmae` is no key of a workflow"),
        (3, "`step` is no key of a workflow"),
        (6, "`jobs` is no key of a workflow"),
    ],
    "unsafe_text": [
        (5, "`{{item.n}}` stands in arithmetic, which bash evaluates"),
        (10, "`{{item}}` stands in the words of `eval`, which evaluates them"),
        (13, "`{{item}}` stands in program text of `python`"),
        (13, "`{{item.tool}}` would name the command that runs"),
        (17, "{{item}}: `python3` has no placeholders"),
        (20, "Penstock cannot read this part of the text as bash: `fi` was expected"),
    ],
    "version_text": [
        (2, '`version` must be 1, the one version that there is, not the text "1.0"'),
    ],
    "version_two": [
        (2, "`version` must be 1, the one version that there is, not the number 2"),
    ],
    "without_foreach": [
        (5, "`where` is about items, and this step has no `foreach`"),
        (6, "`max_failures` is about items, and this step has no `foreach`"),
        (7, "`fail_fast` is about items, and this step has no `foreach`"),
    ],
    "wrong_types": [
        (1, "`name` must be text, not the number 3.10"),
        (2, "`description` must be text, not a list"),
        (4, "`LIST` in `env` must be text, not a list"),
        (5, "`MAP` in `env` must be text, not a mapping"),
        (6, "`EMPTY` in `env` is empty; it must be text"),
        (7, "`1ST` in `env` must be a variable's name such as `MY_NAME`"),
        (8, "`PENSTOCK_X` in `env` must be a variable's name such as `MY_NAME`"),
        (11, "`run` must be a shell text, not the number 7"),
        (12, "`needs` must be a list of step ids, not a mapping"),
        (13, "`concurrency` must be a whole number of at least 1, not the text"),
        (14, '`cache` must be `true` or `false`, not the text "yes"'),
        (15, '`fail_fast` must be `true` or `false`, not the text "false"'),
        (16, '`inputs` must be a list of paths, not the text "data/rows.jsonl"'),
        (17, '`secrets` must be a list of names, not the text "TOKEN"'),
        (18, "`idempotent` must be `true` or `false`, not the number 0"),
    ],
    "yaml_a_list": [
        (1, "a workflow is a mapping of keys to values, not a list"),
    ],
    "yaml_a_word": [
        (1, "a workflow is a mapping of keys to values, not a single value"),
    ],
    "yaml_alias_in_itself": [
        (5, "`*steps` stands within what it names"),
    ],
    "yaml_at_sign": [
        (4, "a value cannot begin with @"),
    ],
    "yaml_bad_escape": [
        (4, '`\\d` is no escape that a "…" value knows'),
    ],
    "yaml_billion_laughs": [
        (6, "the aliases of this file unfold to over 200,000 values"),
    ],
    "yaml_block_too_shallow": [
        (6, "this line is no element of the list that begins on line 3"),
    ],
    "yaml_braces_first": [
        (5, "`{{` begins a mapping in YAML"),
    ],
    "yaml_braces_whole": [
        (5, "`{{` begins a mapping in YAML"),
        (5, "`{{item}}` would name the command that runs"),
    ],
    "yaml_colon_in_plain": [
        (4, "`: ` within a value, where YAML expects the value to end"),
    ],
    "yaml_duplicate_keys": [
        (2, "`name` is given twice; the first is on line 1"),
        (7, "`run` is given twice; the first is on line 5"),
        (10, "`A` is given twice; the first is on line 10"),
    ],
    "yaml_glob_is_alias": [
        (5, "`*` at the start of a value begins an alias in YAML"),
    ],
    "yaml_indentation": [
        (5, "this line is no element of the list that begins on line 3"),
    ],
    "yaml_merge_key": [
        (7, "`<<` merges mappings in YAML 1.1 only"),
    ],
    "yaml_nested_deeply": [
        (5, "nested deeper than 50 levels"),
    ],
    "yaml_no_space_after_colon": [
        (1, "this line is no key, but line 2 below it is one"),
    ],
    "yaml_odd_key": [
        (5, "a key must be text"),
    ],
    "yaml_only_comments": [
        (0, "yaml_only_comments.yaml holds no workflow: it is empty"),
    ],
    "yaml_step_outside_list": [
        (5, "this line is no element of the list that begins on line 3"),
    ],
    "yaml_tab_after_spaces": [
        (4, "a tab, where YAML takes only spaces"),
    ],
    "yaml_tab_indent": [
        (3, "a tab, where YAML takes only spaces"),
    ],
    "yaml_tags": [
        (1, "the tag `!!python/name:os.system`: a workflow file has no tags"),
        (4, "the tag `!shell`: a workflow file has no tags"),
        (7, "the tag `!!int`: a workflow file has no tags"),
    ],
    "yaml_text_after_quote": [
        (4, 'text after the closing " of a value'),
    ],
    "yaml_two_documents": [
        (5, "a second YAML document begins here"),
    ],
    "yaml_unclosed_bracket": [
        (6, "this `[` is not closed"),
    ],
    "yaml_unclosed_quote": [
        (1, 'this " is never closed'),
    ],
    "yaml_unknown_alias": [
        (7, "`*pacient` names nothing: no `&pacient` above"),
    ],
}
