"""The device: what runs beside the sensors. Nothing in inference or installation imports torch or flwr."""
