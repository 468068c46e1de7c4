import Foundation
import MartletModel
import Testing

@Suite struct ChatTemplateTests {
  /// Outputs against Jinja2's, made by Benchmarks/Tokenizers/chat_goldens.py.
  @Test func agreesWithJinja() throws {
    struct Case: Decodable {
      var name: String
      var template: String
      var variables: [String: JSONValue]
      var output: String?
    }
    let url = try TokenizerFixture.url("chat-templates", "json")
    let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: url))
    #expect(cases.count > 100)
    for item in cases {
      let variables = item.variables.mapValues(\.value)
      var output: String?
      var refusal = ""
      do {
        output = try ChatTemplate(source: item.template).render(variables: variables)
      } catch {
        refusal = error.message
      }
      #expect(
        output.map { Array($0.utf8) } == item.output.map { Array($0.utf8) },
        "\(item.name): \(output.debugDescription) for \(item.output.debugDescription) \(refusal)")
    }
  }

  @Test func rendersMessages() throws {
    let template = try ChatTemplate(
      source: "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m['content'] }};{% endfor %}"
        + "{% if add_generation_prompt %}?{% endif %}{{ strftime_now('%d %b %Y') }}")
    let text = try template.render(
      messages: [ChatMessage(role: "user", content: "hi")], addGenerationPrompt: true, bos: "<s>",
      eos: "</s>", date: Date(timeIntervalSince1970: 86_400 * 31), timeZone: .gmt)
    #expect(text == "<s>user:hi;?01 Feb 1970")
  }

  @Test(arguments: [
    ("a\nb\n{% include 'x' %}", "line 3", "include"),
    ("{{ 'x' | nosuch }}", "line 1", "nosuch"),
    ("\n{% if x is nosuch %}{% endif %}", "line 2", "nosuch"),
    ("{% for x in y recursive %}{% endfor %}", "line 1", "recursive"),
    ("{{ '%s' % 1 }}", "line 1", "%"),
    ("{{ raise_exception('roles') }}", "line 1", "roles"),
    ("\n\n{{ x.y.z }}", "line 3", "x"),
    ("{{ strftime_now('%Q') }}", "line 1", "%Q"),
    ("{% if 1 %}", "line 1", "endif"), ("{{ 1", "line 1", "closed"),
    ("{% break %}", "line 1", "loop"),
    ("{{ [1,2][ }}", "line 1", "closed"), ("{# never", "line 1", "comment"),
    ("{% set a.b = 1 %}", "line 1", "namespace"), ("{{ 'abc }}", "line 1", "string"),
    ("{{ f(*x) }}", "line 1", "*"), ("{{ 99999999999999999999 }}", "line 1", "large"),
    ("{{ 9223372036854775807 + 1 }}", "line 1", "large"), ("{{ 1 // 0 }}", "line 1", "computed"),
  ])
  func refusesWithLineAndName(source: String, line: String, name: String) {
    let error = #expect(throws: ModelError.self) {
      _ = try ChatTemplate(source: source).render(variables: [:])
    }
    #expect(error?.code == .template)
    #expect(error?.message.contains(line) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains(name) == true, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
      + "{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}"
      + "{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}"
      + "{% endfor %}{{ ns.l }}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}"
      + "{% endfor %}{{ ns.l == ns.l }}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}"
      + "{% endfor %}",
    "{% set ns = namespace(l={}) %}{% for i in range(99999) %}{% set ns.l = dict(a=ns.l) %}"
      + "{% endfor %}",
    "{{ 'x' * 999999999999 }}", "{{ 'aaaa' | replace('a', 'b' * 30000000) }}",
    "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{{ range(1000000000) }}", "{{ 2 ** 9999999 }}",
    String(repeating: "(", count: 5000), "{{ " + String(repeating: "(", count: 5000),
    "{{ " + String(repeating: "-", count: 5000) + "1 }}",
    "{{ 1" + String(repeating: " + 1", count: 5000) + " }}",
    "{{ x" + String(repeating: ".y", count: 5000) + " }}",
    String(repeating: "{% if true %}", count: 5000),
  ])
  func hostileTemplatesEnd(source: String) throws {
    if source.hasPrefix("(") {
      #expect(try ChatTemplate(source: source).render(variables: [:]) == source)
    } else {
      #expect(throws: ModelError.self) {
        _ = try ChatTemplate(source: source).render(variables: [:])
      }
    }
  }

  @Test func chainsOfNamespacesComeApart() throws {
    let template = try ChatTemplate(
      source: "{% set ns = namespace(t=namespace()) %}{% for i in range(20000) %}"
        + "{% set cur = ns.t %}{% set cur.next = namespace(back=cur) %}"
        + "{% set ns.t = cur.next %}{% endfor %}done")
    #expect(try template.render(variables: [:]) == "done")
  }

  @Test func damagedTemplatesNeverTrap() throws {
    let parts = [
      "{%", "%}", "{{", "}}", "{#", "#}", "-", "+", " ", "\n", "if", "for", "x", "in", "endif",
      "endfor", "set", "=", "'", "\"", "(", ")", "[", "]", ".", "|", "trim", "is", "not", "1", "~",
      "raw", "endraw", "else", ":", ",", "messages", "\\",
    ]
    for seed in UInt64(0)..<3000 {
      var random = SeededBytes(seed)
      let count = Int.random(in: 1...30, using: &random)
      let source = (0..<count).map { _ in parts.randomElement(using: &random) ?? "" }.joined()
      _ = try? ChatTemplate(source: source).render(
        messages: [ChatMessage(role: "user", content: "x")], addGenerationPrompt: true, bos: "",
        eos: "")
    }
  }
}

/// JSON as template values.
private struct JSONValue: Decodable {
  var value: TemplateValue

  private struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  init(from decoder: Decoder) throws {
    if let container = try? decoder.container(keyedBy: Key.self) {
      var entries = TemplateDictionary()
      for key in container.allKeys.sorted(by: { $0.stringValue < $1.stringValue }) {
        entries[.string(key.stringValue)] = try container.decode(JSONValue.self, forKey: key).value
      }
      value = .dictionary(entries)
    } else if var container = try? decoder.unkeyedContainer() {
      var items: [TemplateValue] = []
      while !container.isAtEnd { items.append(try container.decode(JSONValue.self).value) }
      value = .list(items)
    } else {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        value = .none
      } else if let flag = try? container.decode(Bool.self) {
        value = .bool(flag)
      } else if let number = try? container.decode(Int.self) {
        value = .integer(number)
      } else if let number = try? container.decode(Double.self) {
        value = .float(number)
      } else {
        value = .string(try container.decode(String.self))
      }
    }
  }
}
