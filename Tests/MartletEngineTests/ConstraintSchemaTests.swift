import Foundation
import MartletEngine
import MartletSimulation
import Testing

@Suite("Constraints: JSON schemas", .serialized)
struct ConstraintSchemaTests {
  static let schemas: [String] = [
    ##"{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name"]}"##,
    ##"{"type":"object","properties":{"a":{"type":"boolean"},"b":{"type":"null"},"c":{"type":"number"}}}"##,
    ##"{"type":"object","properties":{"ab":{"type":"integer"},"abc":{"type":"string"}},"additionalProperties":{"type":"boolean"}}"##,
    ##"{"type":"object","properties":{"é\"\\":{"const":"ü\n\""}},"required":["é\"\\","zz"],"additionalProperties":true}"##,
    ##"{"type":"array","items":{"type":"integer","minimum":-5,"maximum":120},"minItems":1,"maxItems":4}"##,
    ##"{"type":"array","prefixItems":[{"type":"string","maxLength":2},{"type":"number"}],"items":{"type":"null"},"minItems":2,"maxItems":5}"##,
    ##"{"type":"array","prefixItems":[{"enum":[1,2.50,"x",null,[1,{"k":true}]]}],"minItems":1}"##,
    ##"{"type":["string","null","integer"],"minLength":2,"maxLength":4,"exclusiveMinimum":7}"##,
    ##"{"type":"string","pattern":"^[A-Z][a-z]{1,3}(é|日)?$"}"##,
    ##"{"type":"string","pattern":"a.b","minLength":5,"maxLength":8}"##,
    ##"{"type":"string","pattern":"^[\"\\\\]x"}"##,
    ##"{"type":"number","minimum":0,"maximum":1}"##,
    ##"{"type":"number","exclusiveMinimum":-1.25,"exclusiveMaximum":3.5e1}"##,
    ##"{"type":"number","maximum":-0.001}"##,
    ##"{"type":"integer","minimum":-1234.5,"exclusiveMaximum":-77}"##,
    ##"{"type":"integer","exclusiveMinimum":98,"maximum":10003}"##,
    ##"{"type":"integer","multipleOf":7}"##,
    ##"{"type":"integer","multipleOf":12,"minimum":-100,"exclusiveMaximum":3000}"##,
    ##"{"type":"number","multipleOf":0.25,"minimum":-3,"maximum":1000}"##,
    ##"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"integer","maximum":0},"c":{"type":"boolean"},"d":{"type":"null"}},"required":["c"],"minProperties":2,"maxProperties":3}"##,
    ##"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"additionalProperties":{"type":"boolean"},"minProperties":3}"##,
    ##"{"type":"object","additionalProperties":{"type":"null"},"minProperties":1,"maxProperties":4}"##,
    ##"{"allOf":[{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"maxProperties":5},{"maxProperties":1,"minProperties":1}]}"##,
    ##"{"anyOf":[{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]},{"type":"object","properties":{"x":{"type":"string"},"y":{"type":"null"}},"required":["x","y"]},{"type":"boolean"}]}"##,
    ##"{"oneOf":[{"type":"object","properties":{"kind":{"const":"a"},"v":{"type":"integer"}},"required":["kind","v"]},{"type":"object","properties":{"kind":{"const":"b"},"w":{"type":"boolean"}},"required":["kind"]},{"type":"array","items":{"type":"null"}}]}"##,
    ##"{"allOf":[{"$ref":"#/$defs/base"},{"properties":{"b":{"type":"integer","maximum":9}},"required":["b"]},{"properties":{"b":{"minimum":3}}}],"$defs":{"base":{"type":"object","properties":{"a":{"type":"string","maxLength":3}},"required":["a"]}}}"##,
    ##"{"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"value":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/tree"},"maxItems":2}},"required":["value"]}}}"##,
    ##"{"type":"object","properties":{"next":{"anyOf":[{"type":"null"},{"$ref":"#"}]}},"required":["next"]}"##,
    ##"{"type":"object","required":["free"],"properties":{"free":true,"date":{"type":"string","format":"date"},"at":{"type":"string","format":"date-time"},"id":{"type":"string","format":"uuid"},"ip":{"type":"string","format":"ipv4"},"mail":{"type":"string","format":"email"}}}"##,
    ##"{"type":"object","properties":{"never":false,"maybe":{"type":"string","minLength":1}},"additionalProperties":false}"##,
    ##"{"type":"string","format":"date","maxLength":10}"##,
    twins,
    ##"{"type":"object","properties":{"size":{"type":"integer"}},"patternProperties":{"^s":{"minimum":3,"maximum":400},"e$":{"multipleOf":5}},"additionalProperties":{"type":"null"},"required":["size"]}"##,
    ##"{"type":"object","patternProperties":{"^[a-c]{1,3}$":{"type":"boolean"},"b":{"const":true}},"maxProperties":3}"##,
    ##"{"type":"object","patternProperties":{"^x-":{"type":"string","maxLength":2}},"required":["x-a","name"],"properties":{"name":{"type":"null"}},"maxProperties":4}"##,
    ##"{"type":"object","propertyNames":{"pattern":"^[a-z]+$","maxLength":4},"additionalProperties":{"type":"integer"},"properties":{"Big":{"type":"null"},"ok":{"type":"boolean"}}}"##,
    ##"{"type":"object","propertyNames":{"enum":["a","é\"",3]},"additionalProperties":{"type":"null"}}"##,
    ##"{"type":"object","propertyNames":false}"##,
    ##"{"type":"array","items":{"enum":["a",1,null,1.0,{"k":[]}]},"uniqueItems":true,"minItems":2}"##,
    ##"{"type":"array","items":{"type":["boolean","null"]},"uniqueItems":true,"maxItems":2}"##,
    ##"{"type":"array","items":{"type":"string"},"uniqueItems":true,"maxItems":1}"##,
    ##"{"type":"string","not":{"pattern":"a"},"maxLength":6}"##,
    ##"{"type":"string","pattern":"^[ab]{0,4}$","not":{"enum":["ab","","bbbb"]}}"##,
    ##"{"type":"number","minimum":0,"maximum":12,"not":{"enum":[3,0,1.5]}}"##,
    ##"{"type":"number","not":{"type":"integer"}}"##,
    ##"{"type":"integer","not":{"minimum":4},"minimum":-8}"##,
    ##"{"type":"integer","minimum":0,"maximum":40,"multipleOf":5,"not":{"anyOf":[{"const":10},{"minimum":31}]}}"##,
    ##"{"enum":["ab","cd",7,null,[1]],"not":{"type":["null","array"]}}"##,
    ##"{"enum":["ab","cd","ce"],"not":{"pattern":"^c"}}"##,
    ##"{"not":{"type":["object","array","string"]}}"##,
    ##"{"not":{"not":{"type":"string","maxLength":3}}}"##,
    ##"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"not":{"required":["a","b"]}}"##,
    ##"{"type":"object","properties":{"country":{"enum":["US","NL"]},"zip":{"type":"string"}},"required":["country","zip"],"if":{"properties":{"country":{"const":"US"}}},"then":{"properties":{"zip":{"pattern":"^[0-9]{5}$"}}},"else":{"properties":{"zip":{"pattern":"^[0-9]{4} [A-Z]{2}$"}}}}"##,
    ##"{"type":["integer","string"],"if":{"type":"integer"},"then":{"minimum":5,"maximum":90},"else":{"minLength":2,"maxLength":4}}"##,
    ##"{"type":"object","properties":{"n":{"type":"integer","minimum":0,"maximum":99},"big":{"type":"boolean"}},"required":["n"],"if":{"properties":{"n":{"minimum":50}},"required":["n"]},"then":{"required":["big"]},"else":{"properties":{"big":false}}}"##,
    ##"{"allOf":[{"type":"string","not":{"const":"x"}},{"not":{"minLength":3}},{"if":{"pattern":"y"},"then":{"pattern":"^y"}}]}"##,
    "true",
  ]

  /// Nests by a choice between two schemas that both fit.
  static let twins =
    ##"{"$defs":{"a":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]}},"b":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/b"},{"$ref":"#/$defs/a"}]}}},"$ref":"#/$defs/a"}"##

  @Test("every text drawn at random under a schema is valid by it", arguments: schemas.indices)
  func generatedTextsAreValid(index: Int) async throws {
    let source = Self.schemas[index]
    let schema = try TestJSON.parse(Array(source.utf8))
    var random = TestRandom(seed: UInt64(index) &+ 400)
    let bytes = ByteCodec()
    let pieces = PieceCodec.mixed(count: 900, seed: 3)
    for whitespace in JSONWhitespace.allCases {
      let constraint = try Constraint.jsonSchema(source, whitespace: whitespace)
      let codecs: [any TokenCodec] = [bytes, pieces]
      for codec in codecs {
        let tokens = try TokenConstraint(constraint, codec: codec)
        var whole = 0
        for _ in 0..<25 {
          await Task.yield()
          guard let text = try randomText(tokens, codec, &random) else { continue }
          whole += 1
          #expect(constraint.accepts(text))
          let value = try TestJSON.parse(text)
          if let problem = SchemaValidator(document: schema).problem(value, schema) {
            Issue.record("\(source)\n\(String(decoding: text, as: UTF8.self))\n\(problem)")
            return
          }
        }
        #expect(whole > 16, "\(whole) of 25 texts came to an end")
      }
    }
  }

  @Test("valid texts are accepted and invalid ones are not")
  func acceptance() throws {
    func check(_ schema: String, valid: [String], invalid: [String]) throws {
      let constraint = try Constraint.jsonSchema(schema)
      for text in valid { #expect(constraint.accepts(text.utf8), "\(schema): \(text)") }
      for text in invalid { #expect(!constraint.accepts(text.utf8), "\(schema): \(text)") }
    }
    try check(
      ##"{"properties":{"a":{"type":"integer"},"b":{}},"required":["b"]}"##,
      valid: [
        ##"{"a":1,"b":[]}"##, ##"{ "a": 1, "b": {"x": [1.5e3, "\ud83d\ude00"]} }"##,
        ##"{"b":null}"##,
      ],
      invalid: [
        ##"{"a":1}"##, ##"{"b":1,"c":2}"##, ##"{"a":"1","b":1}"##, ##"{"a":01,"b":1}"##, "[]", "",
      ])
    try check(
      ##"{"type":"number","minimum":0.5,"maximum":12}"##,
      valid: ["0.5", "0.50", "1", "9.99", "12", "12.0", "11.999"],
      invalid: ["0.49", "0", "12.01", "13", "-1", "1e1", "00.5", "12."])
    try check(
      ##"{"type":"integer","minimum":-10,"maximum":205}"##,
      valid: ["-10", "-9", "0", "99", "100", "199", "205"],
      invalid: ["-11", "206", "-0", "007", "1.0", "300", "1000"])
    try check(
      ##"{"additionalProperties":{"type":"integer"},"properties":{"ab":{"type":"null"}}}"##,
      valid: [##"{"ab":null}"##, ##"{"ab":null,"abc":1}"##, ##"{"a":1,"b":2}"##, "{}"],
      invalid: [##"{"ab":1}"##, ##"{"\u0061b":1}"##, ##"{"x":null}"##])
    try check(
      ##"{"enum":[{"a":[1,2]},"x\ty",3]}"##, valid: [##"{"a": [1, 2]}"##, #""x\ty""#, "3"],
      invalid: [##"{"a":[2,1]}"##, "4"])
    try check(
      ##"{"allOf":[{"pattern":"a"},{"pattern":"b"},{"$ref":"#/$defs/c"}],"$defs":{"c":{"allOf":[{"pattern":"c"},{"maxLength":4}]}}}"##,
      valid: [#""abc""#, #""cxba""#], invalid: [#""ab""#, #""ac""#, #""bc""#, #""axbxc""#])
    try check(
      ##"{"format":"date"}"##, valid: [#""2024-02-29""#, #""2000-02-29""#, #""2023-12-31""#],
      invalid: [#""2023-02-29""#, #""1900-02-29""#, #""2023-04-31""#, #""2023-13-01""#])
  }

  @Test(
    "multiples are accepted and no other numbers",
    arguments: ["1", "2", "3", "7", "10", "64", "99", "0.5", "0.07", "0.25", "1.5", "2.50", "1e2"])
  func multiples(step: String) throws {
    let units = try #require(Decimal(string: step)) * 100
    for (type, bounds, range) in [
      ("number", "", -1000...1000),
      ("number", ##","minimum":-2,"exclusiveMaximum":3.5"##, -200...349),
      ("integer", "", -1000...1000), ("integer", ##","minimum":-2,"maximum":9"##, -200...900),
    ] {
      let schema = ##"{"type":"\##(type)","multipleOf":\##(step)\##(bounds)}"##
      let constraint = try Constraint.jsonSchema(schema)
      for value in -1000...1000 {
        let hundredths = abs(value) % 100
        let isMultiple = Decimal(value).isMultiple(of: units) && range.contains(value)
        let sign = value < 0 ? "-" : ""
        let whole = "\(sign)\(abs(value) / 100)"
        if hundredths == 0 {
          #expect(constraint.accepts(whole.utf8) == isMultiple, "\(schema): \(whole)")
          continue
        }
        // As many places as it takes, or two; of more than the step has, no text is made.
        var text = "\(whole).\(hundredths < 10 ? "0" : "")\(hundredths)"
        while text.hasSuffix("0") { text.removeLast() }
        #expect(
          constraint.accepts(text.utf8) == (isMultiple && type == "number"), "\(schema): \(text)")
      }
      for text in ["-0", "007", "1.", ".5", "1e1", "-", ""] {
        #expect(!constraint.accepts(text.utf8), "\(schema): \(text)")
      }
    }
  }

  @Test("so many members and no fewer or more")
  func memberCounts() throws {
    func check(_ schema: String, valid: [String], invalid: [String]) throws {
      let constraint = try Constraint.jsonSchema(schema)
      for text in valid { #expect(constraint.accepts(text.utf8), "\(schema): \(text)") }
      for text in invalid { #expect(!constraint.accepts(text.utf8), "\(schema): \(text)") }
    }
    let listed = ##"{"properties":{"a":{},"b":{},"c":{}},"required":["b"],"##
    try check(
      listed + ##""minProperties":2}"##,
      valid: [##"{"a":1,"b":2}"##, ##"{"b":1,"c":2}"##, ##"{"a":1,"b":2,"c":3}"##],
      invalid: [##"{"b":1}"##, ##"{"a":1,"c":2}"##, "{}"])
    try check(
      listed + ##""maxProperties":2}"##,
      valid: [##"{"a":1,"b":2}"##, ##"{"b":1}"##],
      invalid: [##"{"a":1,"b":2,"c":3}"##, "{}"])
    // Others count, but only one of them surely is a member more.
    try check(
      ##"{"properties":{"a":{}},"additionalProperties":true,"minProperties":2,"maxProperties":3}"##,
      valid: [##"{"a":1,"x":2}"##, ##"{"a":1,"x":2,"y":3}"##],
      invalid: [
        ##"{"a":1}"##, ##"{"x":1}"##, ##"{"x":1,"x":2}"##, ##"{"a":1,"x":2,"y":3,"z":4}"##,
      ])
    try check(
      ##"{"type":"object","maxProperties":0}"##, valid: ["{}", "{ }"], invalid: [##"{"a":1}"##])
    try check(
      ##"{"type":"object","minProperties":1}"##,
      valid: [##"{"a":1}"##, ##"{"a":1,"b":2,"c":3,"d":4}"##], invalid: ["{}"])
  }

  @Test("patterns of names, negations, conditions and different items")
  func complements() throws {
    func check(_ schema: String, valid: [String], invalid: [String]) throws {
      let constraint = try Constraint.jsonSchema(schema, whitespace: .compact)
      for text in valid { #expect(constraint.accepts(text.utf8), "\(schema): \(text)") }
      for text in invalid { #expect(!constraint.accepts(text.utf8), "\(schema): \(text)") }
    }
    try check(
      ##"{"type":"object","patternProperties":{"^a":{"type":"integer"},"b$":{"type":"number","maximum":9}},"additionalProperties":{"type":"null"}}"##,
      valid: [##"{"a":12,"ab":3,"b":2.5,"c":null}"##, "{}"],
      invalid: [##"{"a":1.5}"##, ##"{"ab":12}"##, ##"{"c":1}"##, ##"{"b":10}"##])
    try check(
      ##"{"type":"array","items":{"enum":["a","b",1]},"uniqueItems":true}"##,
      valid: ["[]", ##"["a",1,"b"]"##, ##"[1]"##], invalid: [##"["a","a"]"##, ##"[1,"b",1]"##])
    try check(
      ##"{"type":"number","minimum":0,"maximum":20,"not":{"const":12}}"##,
      valid: ["1", "2", "12.5", "13"], invalid: ["12", "12.0", "12.000"])
    try check(
      ##"{"type":"string","not":{"pattern":"^ab*$"}}"##, valid: [##""b""##, ##""abc""##, ##""""##],
      invalid: [##""a""##, ##""abb""##])
    try check(
      ##"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"}},"if":{"properties":{"a":{"minimum":10}},"required":["a"]},"then":{"required":["b"]}}"##,
      valid: [##"{"a":9}"##, ##"{"a":10,"b":null}"##, "{}", ##"{"b":null}"##],
      invalid: [##"{"a":10}"##, ##"{"a":99}"##])
  }

  @Test(
    "what is not supported or contradicts itself is refused with its place",
    arguments: [
      (##"{"type":"object","properties":{"a":{"multipleOf":0}}}"##, "#/properties/a", "multipleOf"),
      (##"{"multipleOf":-2}"##, "#", "above 0"), (##"{"multipleOf":123456}"##, "#", "10000"),
      (##"{"multipleOf":"2"}"##, "#", "must be a number"),
      (##"{"type":"integer","multipleOf":50,"minimum":51,"maximum":99}"##, "#", "multipleOf"),
      (##"{"type":"array","uniqueItems":true}"##, "#", "uniqueItems"),
      (
        ##"{"items":{"type":"array","items":{"type":"integer"},"uniqueItems":true}}"##, "#/items",
        "list the values"
      ),
      (##"{"uniqueItems":1}"##, "#", "boolean"),
      (##"{"items":{"type":"null"},"uniqueItems":true,"minItems":2}"##, "#", "minItems"),
      (##"{"patternProperties":{"(":true}}"##, "#", "patternProperties"),
      (##"{"patternProperties":[]}"##, "#", "patternProperties"),
      (
        ##"{"patternProperties":{"a":true,"b":true,"c":true,"d":true,"e":true,"f":true,"g":true}}"##,
        "#", "at most 6"
      ),
      (##"{"propertyNames":{"not":{}}}"##, "#/propertyNames", "not"),
      (
        ##"{"allOf":[{"patternProperties":{"a":true}},{"properties":{"b":true},"additionalProperties":false}]}"##,
        "#", "one schema"
      ),
      (##"{"allOf":[{"if":true,"then":true},{"if":{"type":"null"},"else":false}]}"##, "#", "anyOf"),
      (##"{"not":{"format":"date"}}"##, "#/not", "format"),
      (##"{"not":{"enum":[[1]]}}"##, "#/not", "negated"),
      (##"{"if":{"multipleOf":2},"else":{"type":"null"}}"##, "#/if", "multipleOf"),
      (##"{"type":"string","not":{"type":"string"}}"##, "schema", "no text"),
      (
        ##"{"not":{"$ref":"#/$defs/a"},"$defs":{"a":{"anyOf":[{"type":"null"},{"properties":{"x":{"$ref":"#/$defs/a"}}}]}}}"##,
        "#/$defs/a", "recursive"
      ),
      (##"{"properties":{"a":{}},"minProperties":2}"##, "#", "minProperties"),
      (##"{"type":"object","minProperties":2}"##, "#", "may repeat a name"),
      (##"{"required":["a","b"],"maxProperties":1}"##, "#", "maxProperties"),
      (##"{"minProperties":3,"maxProperties":2}"##, "#", "maxProperties"),
      (##"{"type":"array","items":{"not":{"items":{"type":"null"}}}}"##, "#/items/not", "items"),
      (##"{"type":"strnig"}"##, "#", "strnig"), (##"{"typ":"string"}"##, "#", "typ"),
      (##"{"properties":{"a/b":{"type":"string","format":"iri"}}}"##, "#/properties/a~1b", "iri"),
      (##"{"$ref":"#/$defs/x"}"##, "#", "points to nothing"),
      (##"{"$ref":"http://a.b/c"}"##, "#", "not supported"),
      (##"{"$ref":"#"}"##, "#", "refers to itself"),
      (##"{"anyOf":[{"type":"null"},{"$ref":"#"}]}"##, "#", "refers to itself"),
      (##"{"allOf":[{"$ref":"#"}]}"##, "#", "refers to itself"),
      (
        ##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}"##, "schema",
        "no text"
      ),
      (##"{"allOf":[{"type":"string"},{"type":"null"}]}"##, "schema", "no text"),
      (##"{"type":"array","minItems":3,"maxItems":2}"##, "#", "minItems"),
      (##"{"type":"integer","minimum":5,"maximum":4}"##, "schema", "no text"),
      (##"{"oneOf":[{"type":"integer"},{"type":"number"}]}"##, "#/oneOf/0", "exactly one"),
      (##"{"type":"string","pattern":"a(?=b)"}"##, "column 2", "lookaround"),
      (##"{"type":"string","maxLength":1000000}"##, "maxLength", "limit"),
      (##"{"type":"array","items":{},"minItems":1000000}"##, "minItems", "limit"),
      (##"{"required":["a"],"additionalProperties":false}"##, "#", "required"),
      (##"{"enum":[1],"minimum":0}"##, "#", "minimum"), (##"{"enum":5}"##, "#", "must be a list"),
      (##"{"type":"object","##, "line 1, column 18", "name"),
      (##"{"a":1,"a":2}"##, "column 8", "twice"),
      ("[1]", "#", "a schema is an object"),
    ])
  func refusals(schema: String, place: String, reason: String) {
    let error = engineError { try Constraint.jsonSchema(schema) }
    #expect(error?.code == .argument)
    #expect(error?.message.contains(place) ?? false, "\(error?.message ?? "no error")")
    #expect(error?.message.contains(reason) ?? false, "\(error?.message ?? "no error")")
  }

  @Test("schemas that are deep, wide or endless end in an error or work")
  func hostile() throws {
    let deep =
      String(repeating: ##"{"items":"##, count: 100_000) + "true"
      + String(repeating: "}", count: 100_000)
    #expect(engineError { try Constraint.jsonSchema(deep) }?.message.contains("200") ?? false)
    let endless =
      ##"{"$defs":{"a":{"allOf":[{"properties":{"x":{"$ref":"#/$defs/a"}}},{"properties":{"x":{"$ref":"#/$defs/b"}}}]},"b":{"properties":{"x":{"$ref":"#/$defs/a"}}}},"$ref":"#/$defs/a"}"##
    #expect(engineError { try Constraint.jsonSchema(endless) }?.message.contains("limit") ?? false)
    let many = (0..<300).map { ##""p\##($0)":{"type":"integer"}"## }.joined(separator: ",")
    let wide = try Constraint.jsonSchema("{\"properties\":{\(many)}}")
    #expect(
      wide.accepts(##"{"p3":1,"p298":2}"##.utf8) && !wide.accepts(##"{"p298":1,"p3":2}"##.utf8))
  }

  @Test("values nest as deep as the limit and no deeper, and the deepest can still be closed")
  func depth() throws {
    let constraint = try Constraint.jsonSchema("true")
    func brackets(_ count: Int) -> [UInt8] { [UInt8](repeating: UInt8(ascii: "["), count: count) }
    var deepest = 0
    while constraint.allows(prefix: brackets(deepest + 1)), deepest < 1000 { deepest += 1 }
    #expect((200...256).contains(deepest))
    let close = [UInt8](repeating: UInt8(ascii: "]"), count: deepest)
    #expect(constraint.accepts(brackets(deepest) + close))
    #expect(!constraint.allows(prefix: brackets(100_000)))
    // A choice that can be read in two ways at every level costs no more than one that cannot.
    let twins = try Constraint.jsonSchema(Self.twins)
    #expect(twins.accepts(brackets(120) + close.prefix(120)))
  }
}

/// JSON as this suite reads it: numbers keep their digits.
indirect enum TestJSON: Equatable {
  case null, flag(Bool), number(Decimal, isWhole: Bool), text(String), list([TestJSON])
  case object([(String, TestJSON)])

  static func == (a: TestJSON, b: TestJSON) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.flag(let x), .flag(let y)): x == y
    case (.number(let x, _), .number(let y, _)): x == y
    case (.text(let x), .text(let y)): Array(x.utf8) == Array(y.utf8)
    case (.list(let x), .list(let y)): x == y
    case (.object(let x), .object(let y)):
      x.count == y.count && x.allSatisfy { m in y.contains { $0.0 == m.0 && $0.1 == m.1 } }
    default: false
    }
  }

  struct Invalid: Error { let text: String }

  /// Foundation decides whether it is JSON; the digits are then read from the text itself.
  static func parse(_ bytes: [UInt8]) throws -> TestJSON {
    _ = try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
    var at = 0
    func skip() {
      while at < bytes.count, [0x20, 0x0A, 0x09, 0x0D].contains(bytes[at]) { at += 1 }
    }
    func string() throws -> String {
      let start = at
      at += 1
      while bytes[at] != 0x22 { at += bytes[at] == 0x5C ? 2 : 1 }
      at += 1
      let data = Data(bytes[start..<at])
      guard
        let text = try JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)
          as? String
      else { throw Invalid(text: "string") }
      return text
    }
    func value() throws -> TestJSON {
      skip()
      switch bytes[at] {
      case UInt8(ascii: "n"): at += 4; return .null
      case UInt8(ascii: "t"): at += 4; return .flag(true)
      case UInt8(ascii: "f"): at += 5; return .flag(false)
      case UInt8(ascii: "\""): return .text(try string())
      case UInt8(ascii: "["):
        at += 1
        var items: [TestJSON] = []
        skip()
        while bytes[at] != UInt8(ascii: "]") {
          items.append(try value())
          skip()
          if bytes[at] == UInt8(ascii: ",") { at += 1 }
        }
        at += 1
        return .list(items)
      case UInt8(ascii: "{"):
        at += 1
        var members: [(String, TestJSON)] = []
        skip()
        while bytes[at] != UInt8(ascii: "}") {
          skip()
          let key = try string()
          skip()
          at += 1
          members.append((key, try value()))
          skip()
          if bytes[at] == UInt8(ascii: ",") { at += 1 }
          skip()
        }
        at += 1
        return .object(members)
      default:
        let start = at
        while at < bytes.count, "+-.eE0123456789".utf8.contains(bytes[at]) { at += 1 }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        guard let number = Decimal(string: text) else { throw Invalid(text: text) }
        var (rounded, copy) = (Decimal(), number)
        NSDecimalRound(&rounded, &copy, 0, .plain)
        return .number(number, isWhole: rounded == number)
      }
    }
    return try value()
  }

  func member(_ name: String) -> TestJSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { Array($0.0.utf8) == Array(name.utf8) }?.1
  }
}

extension Decimal {
  func isMultiple(of step: Decimal) -> Bool {
    var quotient = self / step
    var rounded = Decimal()
    NSDecimalRound(&rounded, &quotient, 0, .plain)
    return rounded * step == self
  }
}

/// A validator written from the specification, apart from what it checks.
struct SchemaValidator {
  let document: TestJSON

  /// What is wrong with a value; nil when it is valid.
  func problem(_ value: TestJSON, _ schema: TestJSON) -> String? {
    guard case .object(let keywords) = schema else {
      return schema == .flag(true) ? nil : "nothing is valid here"
    }
    for (keyword, argument) in keywords {
      if let problem = check(value, keyword, argument, schema) { return "\(keyword): \(problem)" }
    }
    return nil
  }

  private func matches(_ pattern: String, _ text: String) -> Bool {
    let regex = try? NSRegularExpression(pattern: pattern)
    let whole = NSRange(text.startIndex..., in: text)
    return regex?.firstMatch(in: text, range: whole) != nil
  }

  private func isValid(_ value: TestJSON, _ schema: TestJSON) -> Bool {
    problem(value, schema) == nil
  }

  private func check(
    _ value: TestJSON, _ keyword: String, _ argument: TestJSON, _ schema: TestJSON
  ) -> String? {
    func require(_ holds: Bool) -> String? { holds ? nil : "\(value) against \(argument)" }
    switch (keyword, argument, value) {
    case ("type", .text(let name), _): return require(has(value, name))
    case ("type", .list(let names), _):
      return require(names.contains { if case .text(let n) = $0 { has(value, n) } else { false } })
    case ("const", _, _): return require(value == argument)
    case ("enum", .list(let values), _): return require(values.contains(value))
    case ("$ref", .text(let reference), _):
      var target = document
      for part in reference.split(separator: "/").dropFirst() {
        target = target.member(String(part))!
      }
      return problem(value, target)
    case ("anyOf", .list(let schemas), _): return require(schemas.contains { isValid(value, $0) })
    case ("oneOf", .list(let schemas), _): return require(schemas.count { isValid(value, $0) } == 1)
    case ("allOf", .list(let schemas), _): return require(schemas.allSatisfy { isValid(value, $0) })
    case ("not", _, _): return require(!isValid(value, argument))
    case ("if", _, _):
      guard let next = schema.member(isValid(value, argument) ? "then" : "else") else { return nil }
      return problem(value, next)
    case ("patternProperties", .object(let patterns), .object(let members)):
      for (pattern, inner) in patterns {
        for member in members where matches(pattern, member.0) {
          if let problem = problem(member.1, inner) { return "\(member.0): \(problem)" }
        }
      }
      return nil
    case ("propertyNames", _, .object(let members)):
      return require(members.allSatisfy { isValid(.text($0.0), argument) })
    case ("uniqueItems", .flag(true), .list(let items)):
      return require(
        items.indices.allSatisfy { i in items[..<i].allSatisfy { $0 != items[i] } })
    case ("properties", .object(let listed), .object(let members)):
      for (name, inner) in listed {
        for member in members where Array(member.0.utf8) == Array(name.utf8) {
          if let problem = problem(member.1, inner) { return "\(name): \(problem)" }
        }
      }
      return nil
    case ("additionalProperties", _, .object(let members)):
      var patterns: [String] = []
      if case .object(let listed) = schema.member("patternProperties") {
        patterns = listed.map(\.0)
      }
      for member in members
      where schema.member("properties")?.member(member.0) == nil
        && !patterns.contains(where: { matches($0, member.0) })
      {
        if let problem = problem(member.1, argument) { return "\(member.0): \(problem)" }
      }
      return nil
    case ("required", .list(let names), .object):
      return require(
        names.allSatisfy { if case .text(let n) = $0 { value.member(n) != nil } else { false } })
    case ("prefixItems", .list(let schemas), .list(let items)):
      return require(zip(items, schemas).allSatisfy { isValid($0, $1) })
    case ("items", _, .list(let items)):
      var first = 0
      if case .list(let prefix) = schema.member("prefixItems") { first = prefix.count }
      return require(items.dropFirst(first).allSatisfy { isValid($0, argument) })
    case ("minItems", .number(let n, _), .list(let items)):
      return require(Decimal(items.count) >= n)
    case ("maxItems", .number(let n, _), .list(let items)):
      return require(Decimal(items.count) <= n)
    case ("minLength", .number(let n, _), .text(let text)):
      return require(Decimal(text.unicodeScalars.count) >= n)
    case ("maxLength", .number(let n, _), .text(let text)):
      return require(Decimal(text.unicodeScalars.count) <= n)
    case ("multipleOf", .number(let n, _), .number(let x, _)): return require(x.isMultiple(of: n))
    case ("minProperties", .number(let n, _), .object(let members)):
      return require(Decimal(Set(members.map { Array($0.0.utf8) }).count) >= n)
    case ("maxProperties", .number(let n, _), .object(let members)):
      return require(Decimal(members.count) <= n)
    case ("minimum", .number(let n, _), .number(let x, _)): return require(x >= n)
    case ("maximum", .number(let n, _), .number(let x, _)): return require(x <= n)
    case ("exclusiveMinimum", .number(let n, _), .number(let x, _)): return require(x > n)
    case ("exclusiveMaximum", .number(let n, _), .number(let x, _)): return require(x < n)
    case ("pattern", .text(let pattern), .text(let text)):
      return require(matches(pattern, text))
    case ("format", .text("date"), .text(let text)):
      let parts = text.split(separator: "-").compactMap { Int($0) }
      let calendar = Calendar(identifier: .gregorian)
      let date = DateComponents(
        calendar: calendar, year: parts[0], month: parts[1], day: parts[2])
      return require(parts[0] == 0 || date.isValidDate)
    case ("format", .text("uuid"), .text(let text)): return require(UUID(uuidString: text) != nil)
    default: return nil
    }
  }

  private func has(_ value: TestJSON, _ type: String) -> Bool {
    switch (type, value) {
    case ("null", .null), ("boolean", .flag), ("string", .text), ("array", .list),
      ("object", .object), ("number", .number):
      true
    case ("integer", .number(_, let isWhole)): isWhole
    default: false
    }
  }
}
