"""The connection of an association that the node asks for."""

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation

from dicom_node.network import _BoundedSocket


def test_connection_of_which_no_more_is_read_is_closed_at_once() -> None:
    # The library takes it for closed by the peer; a peer that sends without end would go on.
    association = Association(AE(), mode="requestor")
    connection = _BoundedSocket(association, address=AddressInformation("127.0.0.1", 0))
    opened = connection.socket
    connection.longest_bytes = 5
    assert opened is not None
    assert opened.fileno() > 0

    with pytest.raises(OSError, match="more than an answer holds"):
        connection.recv(6)

    assert opened.fileno() == -1
