#!/usr/bin/env python3
"""Writes Tests/MartletModelTests/Fixtures/Tokenizers/chat-templates.json: templates of our own in
the styles that model files use, and what Jinja2 makes of them.

    pip install jinja2
    python3 Benchmarks/Tokenizers/chat_goldens.py
"""
import json
import pathlib

from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

TARGET = (pathlib.Path(__file__).resolve().parents[2]
          / "Tests/MartletModelTests/Fixtures/Tokenizers/chat-templates.json")

CHATML = """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
LLAMA2 = """{% if messages[0]['role'] == 'system' %}
    {% set rest = messages[1:] %}{% set system = messages[0]['content'] %}
{% else %}{% set rest = messages %}{% set system = false %}{% endif %}
{% for message in rest %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
    {% if loop.index0 == 0 and system != false %}
        {% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}{% set content = message['content'] %}{% endif %}
    {% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}
{% endfor %}"""
LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none and tools is defined %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}{{- system_message }}{{- "<|eot_id|>" }}
{#- the turns -#}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- for call in message.tool_calls %}{{- call.function.name ~ '(' }}{%- for name, value in call.function.arguments | items %}{{- name + '="' + value|string + '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}{%- endfor %}{{- ")" }}{%- endfor %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""
QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
            {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""
MISTRAL = """{%- set system = '' -%}{%- set turns = messages | rejectattr('role', 'equalto', 'system') | list -%}
{%- for m in messages if m.role == 'system' -%}{%- set system = m.content -%}{%- endfor -%}
{{ bos_token }}
{%- for m in turns -%}
  {%- if m['role'] == 'user' -%}[INST] {% if loop.last and messages[0]['role'] == 'system' %}{{ messages[0]['content'] ~ '\\n\\n' }}{% endif %}{{ m['content'] }}[/INST]
  {%- elif m['role'] == 'assistant' %} {{ m['content']|trim }}{{ eos_token }}
  {%- else -%}{{ raise_exception('only user, system and assistant roles: ' + m.role) }}{%- endif -%}
{%- endfor -%}"""
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
"""
PHI3 = """{{ bos_token }}{% for message in messages %}{% if message['role'] in ['user', 'system', 'assistant'] %}{{'<|' ~ message['role'] ~ '|>' + '\\n' + message['content'] + '<|end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\\n\\n' %}{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}
{%- for message in rest -%}
    {%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first if loop.first else "") }}
    {%- if message['content'] is string -%}{{ message['content'] | trim }}{%- elif message['content'] is iterable -%}{%- for item in message['content'] -%}{{ item['text'] | trim }}{%- endfor -%}{%- else -%}{{ raise_exception("Invalid content type") }}{%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"""
DEEPSEEK = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt %}{{'<｜Assistant｜><think>\\n'}}{% endif %}"""
SMOLLM = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a small model.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
MACROS = """{%- macro turn(role, content='', close=true) -%}
<{{ role }}>{{ content | trim }}{% if close %}</{{ role }}>{% endif %}
{%- endmacro -%}
{% for m in messages %}
  {{ turn(m.role, m.content) }}
  {%- if loop.index == 3 %}{% break %}{% endif %}
{% else %}none
{% endfor %}
{{ turn('end', close=false) }}"""
GENERATION = """{% for m in messages -%}
{% set prefix %}[{{ m.role | upper }}]{% endset %}
{{ prefix }} {% generation %}{{ m.content }}{% endgeneration %}

{% endfor %}"""

STYLES = {"chatml": CHATML, "llama-2": LLAMA2, "llama-3": LLAMA3, "qwen": QWEN, "mistral": MISTRAL,
          "zephyr": ZEPHYR, "phi-3": PHI3, "gemma": GEMMA, "deepseek": DEEPSEEK, "smollm": SMOLLM,
          "macros": MACROS, "generation": GENERATION}

EXPRESSIONS = """1 + 2 * 3 - 4 // 3 % 2 ** 2
7 / 2
-7 // 2 ~ '|' ~ -7 % 3 ~ '|' ~ 7 % -3
2 ** 3 ** 2
1.5 + 1 ~ 1e-7 if false else 3.0
'a' ~ 1 ~ none ~ true ~ 1.0
[1, 'two', none, true, 1.5, [], {}]
{'a': 1, 'b': [1, "it's", 'q"q', 'both\\'"']}
'line\\n\\ttab\\\\' | string
"é中😀"[1] ~ "é中😀" | length
[1,2,3,4,5][1:4] ~ [1,2,3,4,5][::-1] ~ [1,2,3][-2:] ~ 'hello'[::2] ~ 'hello'[-3:-1]
'x' in 'xyz' and 3 not in [1, 2] and 'k' in {'k': 0}
1 < 2 < 3 == 3
not 1 == 2 or false
none is none and x is undefined and 3 is odd and 4 is even and 9 is divisibleby 3
'abc' is string and 1 is number and {} is mapping and [] is iterable and true is boolean
1 is integer and 1.0 is float and 5 is gt 4 and 'a' is in ['a'] and 3 is not eq 4
' trim me ' | trim ~ '|' ~ 'xxaxx' | trim('x')
'Hello World' | upper | lower | title | capitalize
"they're bill's friends" | title
'a-b c' | title
['a','b'] | join(', ') ~ [1,2,3] | join
[{'n': 1}, {'n': 2}] | join('+', attribute='n')
'banana' | replace('an', 'AN') ~ 'banana' | replace('an', 'AN', 1)
[3,1,2] | sort ~ ['b','A','c'] | sort ~ [1,2,3] | reverse | list
[1,2,2,3] | unique | list ~ [1,2] | sum ~ [4,2] | min ~ [4,9] | max
[{'r':'a','v':1},{'r':'b','v':2}] | selectattr('r','equalto','b') | map(attribute='v') | list
[0,1,2,'',none] | select | list ~ [1,2,3,4] | reject('even') | list
['a','b'] | map('upper') | join('')
{'b': 2, 'a': 1} | dictsort | map('join') | join(' ')
missing | default('d') ~ '' | default('e', true) ~ '' | default('f')
{'a': {'b': [1, 'é', null_value | default(none)]}, 'c': 1.5, 'd': true} | tojson
[1, {'a': []}, {}] | tojson(indent=2)
"<a href='x'>&\\u2028</a>" | tojson
'  a  b c '.split() ~ 'a,b,,c'.split(',') ~ 'a,b,c'.split(',', 1) ~ 'a,b,c'.rsplit(',', 1)
'path/to'.startswith('path') ~ 'path/to'.endswith(('x','to')) ~ 'abcabc'.find('c') ~ 'abc'.find('z')
'\\n\\nab\\n'.lstrip('\\n').rstrip() ~ 'ab'.replace('a', 'c') ~ 'a\\nb\\r\\nc'.splitlines()
'abc'.upper() ~ 'ABC'.lower() ~ '12'.isdigit() ~ 'aXbXc'.count('X') ~ '-'.join(['a','b'])
{'k': 'v', 'w': 2}.items() | map('first') | list ~ {'k': 1}.get('z', 'dflt') ~ {'k': 1}.keys() | list
range(5) | list ~ range(2, 8, 3) | list ~ range(3, 0, -1) | list
('a', 'b')[1] ~ ('x' if true) ~ ('y' if false)
'12' | int + 3 ~ '1.5' | float ~ 'zz' | int(7) ~ -3 | abs
'a\\n\\nb\\nc' | indent(2) ~ '|' ~ 'a\\nb' | indent(2, true)
'first' | first ~ [1,2,3] | last ~ [] | first
namespace(a=1).a ~ dict(x=1, y='z')
"%s" ~ '\\u00e9\\x41' ~ 'con' 'cat'
0 or 'zero' ~ '' and 'never'
[1] + [2] ~ 'ab' * 3 ~ true + 1
1 == 1.0 ~ 'é' == 'é' ~ [1,[2]] == [1,[2]] ~ {'a':1} == {'a':1}
'ǆ'|upper ~ 'ß'|upper ~ 'İ'|lower|length"""

LAYOUTS = ["a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "  {{ 1 }}  \n  {# note #}\nx", "a {%- if true -%} b {%- endif -%} c",
           "{%+ if true %}x{% endif +%}\ny", "  {%+ if true %}x{% endif %}\n\n\ny\n\n", "a\r\n{% set x = 1 %}\r\nb{{ x }}\r\n",
           "{% raw %}{{ not }} {% this %}{% endraw %}\nz", "{%- raw -%}  {{ a }}  {%- endraw -%}  b", "x\n\t {#- c -#} \n y",
           "{% for i in range(3) %}\n{{ i }}{% if not loop.last %},{% endif %}\n{% endfor %}\n", "{{ '}}' }}{{ \"%}\" }}{{ {'a': {'b': 1}} }}",
           "{% for i in range(6) %}{% if i is odd %}{% continue %}{% endif %}{{ i }}{{ loop.cycle('a','b') }}{{ loop.revindex }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
           "{% for a, b in [(1,2),(3,4)] %}{{ a + b }} {% endfor %}{% for k in {'x':1} %}{{ k }}{% endfor %}{% for c in 'hé' %}{{ c }}.{% endfor %}",
           "{% set a, b = 1, 2 %}{{ b }}{{ a }}{% set t = 'x', %}{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set a = 9 %}{% endfor %}{{ ns.n }}{{ a }}",
           "{% macro outer(x) %}[{{ inner(x ~ '!') }}]{% endmacro %}{% macro inner(y, z='d') %}{{ y }}{{ z }}{% endmacro %}{{ outer('q') }}",
           "{%- if a is defined %}1{% elif b is not defined %}2{% else %}3{% endif %} \n \n{{ x }}|{{ none }}|", "{{ 1 }}\n{{ 2 -}}\n\n{{- 3 }}\n", "   {% if true %}   \n   {% endif %}   \n"]

CONVERSATIONS = [
    {"messages": [{"role": "user", "content": "Hello there"}], "add_generation_prompt": True},
    {"messages": [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "2+2?"},
                  {"role": "assistant", "content": "<think>\nsum\n</think>\n\n4 "},
                  {"role": "user", "content": "  'né' \"中\" <b> \n"}], "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
     "add_generation_prompt": False, "enable_thinking": False},
    {"messages": [{"role": "user", "content": "weather?"},
                  {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"place": "Kyiv", "days": 2}}}]},
                  {"role": "tool", "content": "rain"}, {"role": "tool", "content": "sun"}],
     "add_generation_prompt": True, "tools": [{"name": "look", "unit": "é"}], "enable_thinking": False},
]


class Generation(Extension):
    """`{% generation %}` marks what the model wrote and changes nothing."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def environment():
    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def refuse(message):
        raise ValueError(message)

    result = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                           extensions=[loopcontrols, Generation])
    result.filters["tojson"] = tojson
    result.globals["raise_exception"] = refuse
    return result


def render(template, variables):
    """The output, or None where Jinja2 refuses."""
    try:
        return environment().from_string(template).render(**variables)
    except Exception:
        return None


def main():
    cases = []
    for name, template in STYLES.items():
        for number, conversation in enumerate(CONVERSATIONS):
            # Keys in order, so that every JSON reader gives the template the same dictionaries.
            variables = json.loads(json.dumps(
                {"bos_token": "<s>", "eos_token": "</s>", **conversation}, sort_keys=True))
            cases.append({"name": f"{name} {number}", "template": template, "variables": variables,
                          "output": render(template, variables)})
    for line in EXPRESSIONS.split("\n"):
        template = "{{ " + line + " }}"
        cases.append({"name": line, "template": template, "variables": {},
                      "output": render(template, {})})
    for number, template in enumerate(LAYOUTS):
        cases.append({"name": f"layout {number}", "template": template, "variables": {},
                      "output": render(template, {})})
    TARGET.write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")
    refused = [case["name"] for case in cases if case["output"] is None]
    print(f"{len(cases)} cases, {TARGET.stat().st_size} bytes, refused by Jinja2: {refused}")


if __name__ == "__main__":
    main()
