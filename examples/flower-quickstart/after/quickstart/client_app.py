"""One party: trains and tests when it is asked."""

from covey_client.mod import private_mod
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.utils.data import DataLoader

from quickstart import task
from quickstart.model import MODEL
from quickstart.task import Net

app = ClientApp(mods=[private_mod(MODEL)])


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Train the model that came, on this party's data."""
    net, (loader, _) = received(msg), data_of(context)
    loss = task.train(net, loader, context.run_config["local-epochs"], msg.content["config"]["lr"])
    metrics = MetricRecord({"train_loss": loss, "num-examples": len(loader.dataset)})
    content = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Test the model that came, on this party's data."""
    net, (_, loader) = received(msg), data_of(context)
    loss, accuracy = task.test(net, loader)
    metrics = MetricRecord({"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(loader.dataset)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)


def received(msg: Message) -> Net:
    """The model that came."""
    net = Net()
    net.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    return net


def data_of(context: Context) -> tuple[DataLoader, DataLoader]:
    """This party's data."""
    node = context.node_config
    return task.load_data(node["partition-id"], node["num-partitions"], context.run_config["batch-size"])
