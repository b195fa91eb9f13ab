"""The gRPC port's certificates."""

import grpc

from event_service.tls import Follower, TlsFiles


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files: each new connection is offered what they hold by then.

    Raises:
        TlsError: they cannot be used at start.
    """
    follower = Follower(files, _load)
    return grpc.dynamic_ssl_server_credentials(
        follower.in_use,
        follower.renew,  # type: ignore[arg-type]  # the stubs do not know that None means no change
        require_client_authentication=files.client_ca is not None,
    )


def _load(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    files.context()  # gRPC says nothing of what it cannot use; this does
    try:
        return grpc.ssl_server_certificate_configuration(
            [(files.key.read_bytes(), files.certificate.read_bytes())],
            files.client_ca.read_bytes() if files.client_ca is not None else None,
        )
    except OSError as error:
        raise files.error(error) from error
