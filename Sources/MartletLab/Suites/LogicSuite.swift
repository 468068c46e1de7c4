/// Who owns what: clues that leave one assignment of animals and drinks to people.
enum LogicSuite {
  private static let people = ["Ann", "Ben", "Cal", "Dee", "Eve"]
  private static let animals = ["cat", "dog", "fish", "horse", "parrot"]
  private static let drinks = ["tea", "milk", "juice", "water", "coffee"]

  static func problem(_ grade: Grade, from generator: inout SplitMix64) -> DrawnProblem {
    let count =
      switch grade {
      case .easy: 3
      case .standard: 4
      case .hard: 5
      }
    let world = World(
      animals: Array(0..<count).shuffled(using: &generator),
      drinks: Array(0..<count).shuffled(using: &generator))
    let clues = clues(for: world, from: &generator)
    let owners = (0..<count).map { animal in people[world.animals.firstIndex(of: animal)!] }
    let names = people.prefix(count).joined(separator: ", ")
    let pets = animals.prefix(count).joined(separator: ", ")
    return DrawnProblem(
      question: """
        \(names) each own a different animal (\(pets)) and like a different drink \
        (\(drinks.prefix(count).joined(separator: ", "))).
        \(clues.map { "- \($0.text)" }.joined(separator: "\n"))
        Who owns which animal? End with the owners' names in the order \(pets), separated by commas.
        """,
      group: "logic, \(count) people", expected: owners.joined(separator: ", "),
      check: ListCheck(
        expected: owners.map { $0.lowercased() },
        vocabulary: Set(people.prefix(count).map { $0.lowercased() })))
  }

  /// For each person the animal and the drink.
  private struct World: Hashable {
    let animals: [Int]
    let drinks: [Int]
  }

  private struct Clue {
    let text: String
    let holds: (World) -> Bool
  }

  /// Clues that hold in `world` and leave no other one, none of them without need.
  private static func clues(for world: World, from generator: inout SplitMix64) -> [Clue] {
    let all = worlds(world.animals.count)
    var possible = all
    var chosen: [Clue] = []
    for clue in candidates(for: world).shuffled(using: &generator) where possible.count > 1 {
      let left = possible.filter(clue.holds)
      if left.count < possible.count { (possible, chosen) = (left, chosen + [clue]) }
    }
    for index in chosen.indices.reversed() {
      var fewer = chosen
      fewer.remove(at: index)
      let left = all.count { other in fewer.allSatisfy { $0.holds(other) } }
      if left == 1 { chosen = fewer }
    }
    return chosen
  }

  /// Everything that can be said about pairs of person, animal and drink. What says most comes with
  /// what says less: the draw decides.
  private static func candidates(for world: World) -> [Clue] {
    let count = world.animals.count
    var clues: [Clue] = []
    for person in 0..<count {
      for thing in 0..<count {
        let (owns, likes) = (world.animals[person] == thing, world.drinks[person] == thing)
        clues.append(
          Clue(
            text: "\(people[person]) \(owns ? "owns" : "does not own") the \(animals[thing]).",
            holds: { ($0.animals[person] == thing) == owns }))
        clues.append(
          Clue(
            text: "\(people[person]) \(likes ? "likes" : "does not like") \(drinks[thing]).",
            holds: { ($0.drinks[person] == thing) == likes }))
        let owner = world.animals.firstIndex(of: person)!
        let both = world.drinks[owner] == thing
        clues.append(
          Clue(
            text: "The owner of the \(animals[person]) \(both ? "likes" : "does not like") "
              + "\(drinks[thing]).",
            holds: { ($0.drinks[$0.animals.firstIndex(of: person)!] == thing) == both }))
      }
    }
    return clues
  }

  private static func worlds(_ count: Int) -> [World] {
    let orders = permutations(Array(0..<count))
    return orders.flatMap { animals in orders.map { World(animals: animals, drinks: $0) } }
  }

  private static func permutations(_ items: [Int]) -> [[Int]] {
    guard let first = items.first else { return [[]] }
    return permutations(Array(items.dropFirst())).flatMap { rest in
      (0...rest.count).map { Array(rest[..<$0]) + [first] + Array(rest[$0...]) }
    }
  }
}
