// What `import Martlet` brings: the model, the engine, the strategies and the machine beneath.
@_exported import MartletEngine
@_exported import MartletKernels
@_exported import MartletMachine
@_exported import MartletModel
@_exported import MartletScaling

/// The release of Martlet.
public let martletVersion = "0.1.0"
