"""Parts with modules: layers whose attributes, parameters, modes and inner modules change, dropout, batch norm."""

from .grammar import Part

DENSE = (
    "tg.nn.Dense(3, in_features=3, activation=«'tanh'|None|'relu'|tg.sin», seed=#«|, use_bias=False», dtype='float64')"
)

LAYERS = {
    "dense": Part(setup=f"net# = {DENSE}", step="h = net#(h)", learns="*net#.parameters()"),
    "a changed layer": Part(
        setup=f"net# = {DENSE}",
        step="h = net#(h)",
        learns="*net#.parameters()",
        between="""
        «net#.activation = 'relu'|net#.activation = None|net#.activation = tg.exp|net#.forward = tg.tanh|
            net#.forward = lambda z: z * 2|net#.weight = tg.nn.Parameter(np.eye(3))|
            net#.bias = tg.nn.Parameter(np.ones(3))|net#.bias = None|net#.weight.requires_grad = False|
            net#.weight.data = np.eye(3)|net#.weight.numpy()[0] = 2.0|net#.trainable = False|net#.eval()|
            net#.zero_grad()|net#.reset(seed=1)|net#.load_state_dict(net#.state_dict())|
            net# = tg.nn.Dense(3, in_features=3, seed=5, dtype='float64')»
        """,
    ),
    "a sequence": Part(
        setup="""
        net# = tg.nn.Sequential(tg.nn.Dense(4, activation='relu'), tg.nn.Dense(3, dtype='float64'), seed=#)
        net#.build((None, 3))
        """,
        step="h = net#(h)",
        learns="*net#.parameters()",
        between="""
        «net#.layers[1] = tg.nn.Dense(3, in_features=4, seed=9)|net#.add(tg.nn.Activation('tanh'))|net#.pop()|
            net#.layers[0].activation = tg.sin|net#.layers.append(tg.nn.Activation(tg.tanh))|
            net#.layers[1].weight = tg.nn.Parameter(np.ones((4, 3)))|net#.layers[0].trainable = False|
            net#.layers[0], net#.layers[1].bias = net#.layers[0], None|net#.layers = net#.layers[::-1]»
        """,
    ),
    "batch norm": Part(
        setup="net# = tg.nn.BatchNorm(features=3, momentum=0.5, dtype='float64')",
        step="h = net#(h)",
        learns="*net#.parameters()",
        between="""
        net#.«eval()|train(not net#.training)|momentum = 0.9|epsilon = 0.5|training = False|
            running_mean.data = np.ones(3)|gamma = None|gamma.data = np.ones(3) * k|reset()|trainable = False|
            running_var = tg.nn.Buffer(np.ones(3))»
        """,
    ),
    "other norms": Part(
        setup="""
        net# = tg.nn.«LayerNorm(features=3, dtype='float64')|GroupNorm(3, features=3, dtype='float64')|
            LayerNorm(features=3, center=False)»
        """,
        step="h = net#(h)",
        learns="*net#.parameters()",
        between="net#.«epsilon = 0.5|gamma.data = np.ones(3) * 2|beta = None|gamma = None»",
    ),
    "dropout": Part(
        setup="net# = tg.nn.Dropout(«0.5|0.25|0», seed=«0|np.random.default_rng(0)|None»)",
        step="h = net#(h)",
        between="""
        net#.«rate = 0.75|rate = 0|eval()|train(k % 2 == 0)|seed = 1|seed = np.random.default_rng(5)|
            training = not net#.training»
        """,
    ),
    "dropout by itself": Part(
        setup="rng# = np.random.default_rng(0)\np# = 0.5",
        step="h = tg.ops.normalization.dropout(h, p#, rng#)",
        between="""
        «p# = 0.25|rng# = np.random.default_rng(3)|rng#.random()|
            rng#.bit_generator.state = np.random.default_rng(1).bit_generator.state»
        """,
    ),
    "mode changed in the step": Part(
        setup="net# = tg.nn.Sequential(tg.nn.Dropout(0.5, seed=0), tg.nn.BatchNorm(features=3, dtype='float64'))",
        step="""
        net#.«eval()|train()|training = False|layers[0].eval()»
        h = net#(h)
        net#.«train()|eval()|layers[1].train()»
        """,
        learns="*net#.parameters()",
    ),
    "a module of one's own": Part(
        setup="""
        class Net#(tg.nn.Module):
            def __init__(self):
                self.w = tg.nn.Parameter(np.array([1.0, -0.5, 2.0]))
                self.scale, self.calls, self.shift = 0.5, 0, np.array([0.1, 0.2, 0.3])
                self.parts = [tg.nn.Dense(3, in_features=3, seed=1)]
                self.buffer = tg.nn.Buffer(np.zeros(3))

            def forward(self, z):
                «self.calls += 1|z = z * 2|self.last = z.detach()|self.scale = self.scale * 0.5|
            self.buffer.data = self.buffer * 0.5 + 1|
            self.buffer.data = (self.buffer * 0.5 + z.mean(axis=0)).detach()»
                z = z * self.w «* self.scale|+ self.shift|* len(self.parts)|+ self.buffer|* self.calls»
                return «z|self.parts[0](z)|z * self.training»

        net# = Net#()
        """,
        step="h = net#(h)",
        learns="*net#.parameters()",
        between="""
        net#.«scale = 3.0|scale = -0.0|shift = np.ones(3)|shift[0] = 9.0|parts.append(tg.nn.Activation('tanh'))|
            calls = 0|eval()|parts[0] = tg.nn.Dense(3, in_features=3, seed=7)|w = tg.nn.Parameter(np.ones(3))|
            buffer.data = np.ones(3) * k|zero_grad()»
        """,
    ),
    "functions of one's own in layers": Part(
        setup="""
        s# = [0.5]

        def active#(z):
            s#[0] += «1|0»
            return tg.tanh(z) * s#[0]

        net# = «tg.nn.Dense(3, in_features=3, seed=1, activation=active#)|tg.nn.Activation(active#)|
            tg.nn.Sequential(active#)»
        """,
        step="h = net#(h)",
        learns="*net#.parameters()",
        between="s#[0] = «3.0|-0.0»",
    ),
    "an odd module": Part(
        setup="""
        class Net#(tg.nn.Dense):
            rate, calls = 0.5, 0

            «@property
            def scale(self):
                return self.weight.sum() * self.rate

            def forward(self, z):
                return z * self.scale|def forward(self, z):
                return super().forward(z) * self.rate|def __call__(self, z):
                self.calls += 1
                return super().__call__(z) * self.rate|def activated(self, z):
                return z * self.rate|def ready(self, z):
                return super().ready(z * self.rate)|def parameters(self):
                return iter([self.weight])|def __getattr__(self, name):
                return 2.0»

        net# = Net#(3, in_features=3, seed=1, dtype='float64')
        """,
        step="h = net#(h) * net#.«rate|calls + 1|rate»",
        learns="*net#.parameters()",
        between="""
        «net#.rate = 3.0|Net#.rate = 2.0|net#.calls = 5|Net#.forward = lambda self, z: z * 2|net#.extra = 4.0»
        """,
    ),
    "layers made in the step": Part(
        step="""
        h = tg.nn.«Activation('tanh')|LayerNorm(features=3, dtype='float64')|
            Dense(3, in_features=3, seed=0, dtype='float64')|Dropout(0.5, seed=0)»(h)
        """,
    ),
    "built at the first call": Part(
        setup="net# = tg.nn.Dense(3, seed=0, dtype='float64')",
        step="h = net#(h)",
    ),
    "a convolutional net": Part(
        setup="""
        net# = tg.nn.Sequential(
            tg.nn.Reshape((1, 3, 1)), tg.nn.Conv2D(2, (1, 2), padding='same', activation=«'relu'|None|
            'tanh'», dtype='float64'),
            «tg.nn.BatchNorm(momentum=0.5, dtype='float64')|tg.nn.Dropout(0.25, seed=1)|
            tg.nn.MaxPool2D((1, 2), stride=1)|tg.nn.AvgPool2D((1, 2))|
            tg.nn.DepthwiseConv2D((1, 2), dtype='float64')»,
            tg.nn.Activation('«relu|softplus»'), tg.nn.Flatten(), tg.nn.Dense(3, dtype='float64'), seed=#,
        )
        net#.build((None, 3))
        """,
        step="h = net#(h)",
        learns="*net#.parameters()",
        between="""
        net#.«eval()|layers[1].activation = None|layers[2].rate = 0.5|layers[2].epsilon = 0.5|
            layers[3] = tg.nn.Activation('tanh')»
        """,
    ),
    "a shared layer": Part(
        setup=f"net# = {DENSE}\nagain# = [net#, net#]",
        step="for layer in again#:\n    h = layer(h)",
        learns="*net#.parameters()",
        between="«again#.pop()|again#.append(net#)|again#[0] = tg.tanh|again#.insert(0, tg.nn.Activation('relu'))»",
    ),
}
