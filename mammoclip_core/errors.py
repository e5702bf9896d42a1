"""Every error that the core raises, in one tree.

CoreError
├── PixelError                  one image cannot be turned into pixels; the others can
├── BundleError                 a bundle is incomplete, altered or of another format
├── CheckpointError             a checkpoint is damaged, unsafe or of another model
├── FetchError                  published files cannot be downloaded unaltered
├── PromptFileError             a file of prompts is not of the known form
├── LicenceError                a bundle may not be used as asked
├── MissingLibraryError         an optional library is needed; the message names the extra
├── DeviceError                 the device stopped answering; a new process may reach it
├── ComputingError              the machine cannot compute as asked, or some images give no numbers
│   └── BatchMemoryError            memory is short for so many images at once
└── FindingsFormatError         a findings document is not one
"""


class CoreError(Exception):
    """Base of all errors of the core."""


class PixelError(CoreError):
    """The data set holds no pixels that the model can be shown; the message says why."""


class BundleError(CoreError):
    """The bundle is incomplete, altered or of another format."""


class CheckpointError(CoreError):
    """The checkpoint is damaged, would run code, or holds another model than is known."""


class FetchError(CoreError):
    """Published files cannot be downloaded, or differ from what the model hub reports."""


class PromptFileError(CoreError):
    """The prompt file has an unknown form; the message says where."""


class LicenceError(CoreError):
    """The bundle's terms of use have not been accepted in the settings."""


class FindingsFormatError(CoreError):
    """The text is not a findings document of a known format."""


class MissingLibraryError(CoreError):
    """A library that comes with an installation extra is needed; the message names the extra."""


class DeviceError(CoreError):
    """The device that computes stopped answering; this process cannot use it any more."""


class ComputingError(CoreError):
    """The machine cannot compute as it is asked to, or some results are not finite."""


class BatchMemoryError(ComputingError):
    """Too little memory for this batch of images; a smaller batch may fit."""
