import MartletKernels

extension FloatMatrix {
  /// ‖o − exact‖ / ‖exact‖ of some columns of a row, such as one query head's; 0 where `exact` is 0.
  func relativeError(row: Int, columns: Range<Int>, to exact: FloatMatrix) -> Double {
    let (near, far) = (self.row(row), exact.row(row))
    var (difference, norm) = (0.0, 0.0)
    for column in columns {
      let d = Double(near[column]) - Double(far[column])
      difference += d * d
      norm += Double(far[column]) * Double(far[column])
    }
    return norm > 0 ? (difference / norm).squareRoot() : 0
  }
}
