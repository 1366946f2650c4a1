"""The explanations in English. In a reason, `$…$` is a formula, \\y \\x \\g its parts."""

from kokuban.explain.phrases.language import Language

WORDS = {
    "title": "$\\0$   for   $\\1$",
    "short title": "$\\0$",
    "rows": "Rows are samples ($N$); the gradient with respect to a matrix has that "
    "matrix's shape.",
    "columns": "Columns are samples ($N$): every matrix stands transposed and every "
    "product reversed; the gradient with respect to a matrix has that matrix's shape.",
    "turned": "Vectors are columns: every matrix stands transposed and every product "
    "reversed; the gradient with respect to a matrix has that matrix's shape.",
    "forward": "Forward",
    "backward": "Backward",
    "insert": "with $\\0$ put in",
    "simplified": "simplified",
    "mean of rows": "The loss is a mean over the rows.",
    "mean of entries": "The loss is a mean over all entries.",
    "half sum": "The loss is half a sum over all entries.",
    "own reduction": "The loss's reduction is as its formula says.",
    "smooth": "No operation on the way has a kink.",
    "kink": "$\\0$ has a kink where $\\1 = 0$; the slope there is taken as $\\2$.",
    "tie": "$\\0$ has a kink where two entries tie; they share the gradient.",
    "as in": "as in step $\\0$",
    "paths": "several paths",
    "paths reason": "$\\0$ acts on the loss along $\\1$ paths, and what comes back along "
    "them is added",
    "joined": "; ",
    "shared": "a weight used more than once",
    "shared reason": "$\\0$ stands in $\\1$ places and acts on the loss through each: its "
    "gradient is the sum of their shares",
    "wrong": "The chain rule through $\\0$ alone looks complete, and is wrong: it leaves "
    "out the share of the use in $\\1$.",
    "wrong numbers": "At \\a, entry ($\\0$, $\\1$): it gives $\\2$; the gradient is $\\3$.",
    "given": "the values given",
    "random": "random values (seed 0, $\\0$)",
    "random plain": "random values (seed 0)",
    "own rule": "by the operation's own rule",
    "zero": "constant",
    "zero reason": "$\\0$ does not act on the loss: every entry of the gradient is 0",
    "no numbers": "Its error in numbers is not shown: the loss is not finite at random "
    "values.",
    "chain": "chain rule, through all entries",
    "delta": "$\\frac{\\partial a_{ij}}{\\partial a_{pq}} = δ_{ip}\\, δ_{jq}$: only equal places remain",
    "picks": "a delta under a sum picks its term",
    "rows of one": "each row of the targets sums to 1",
    "fold": "read as a matrix",
    "checked all": "checked: central differences agree in all $\\0$ entries, worst relative "
    "gap $\\1$",
    "checked one": "checked: central differences agree, relative gap $\\1$",
    "checked some": "checked: central differences agree in $\\0$ of $\\2$ entries, worst "
    "relative gap $\\1$",
    "checked along": "and along $\\3$ random directions",
    "checked corner": "$\\4$ on a corner, without a derivative",
    "checked wrong": "central differences disagree, worst relative gap $\\1$",
    "checked not": "not checked: central differences give no verdict here",
    "checked between": "; ",
    "same": "the same, rewritten",
    "same sigmoid": "$e^{-u} \\, σ(u) = 1 - σ(u)$",
}

# what changes places in columns
TURNED = {
    "rows": "columns", "row": "column", "columns": "rows", "column": "row",
    "y^\\top y": "y y^\\top",
}  # fmt: skip

# operation or composite: the rule's name, and the reason in one sentence
RULES = {
    "broadcast": (
        "copies",
        "$\\x$ was copied into every row, so what comes back from the rows is added",
    ),
    "broadcast column": (
        "copies",
        "a column was copied into every column, so what comes back from them is added",
    ),
    "broadcast number": (
        "copies",
        "one number was copied into every entry, so what comes back from them is added",
    ),
    "slice": ("block", "what was not taken has no influence: zeros there"),
    "place": ("block", "only what was placed comes back"),
    "distribution": ("identity", "the gradient passes as it is"),
    "add": ("sum", "a sum hands the gradient on to each term as it is"),
    "subtract": ("difference", "the first term gets the gradient, the second its negative"),
    "multiply": ("entrywise product", "entry by entry, the slope by one factor is the other"),
    "divide": ("quotient", "entry by entry, a/b has the slopes 1/b and -a/b²"),
    "negate": ("sign", "the sign stays"),
    "power": ("power", "entry by entry, $u^p$ has the slope $p\\, u^{p-1}$"),
    "maximum": ("larger of two", "only the larger of two entries gets the gradient"),
    "minimum": ("smaller of two", "only the smaller of two entries gets the gradient"),
    "matmul": (
        "matrix product",
        "the upstream gradient times the other factor, transposed, from its own side",
    ),
    "transpose": ("transpose", "what was transposed is transposed back"),
    "exp": ("exponential", "$e^u$ is its own slope"),
    "expm1": ("exponential", "$e^u - 1$ has the slope $e^u$"),
    "log": ("logarithm", "ln u has the slope 1/u, entry by entry"),
    "sqrt": ("square root", "$\\sqrt{u}$ has the slope $\\frac{1}{2 \\sqrt{u}}$"),
    "abs": ("absolute value", "the slope is the sign"),
    "sign": ("sign", "flat wherever it has a slope"),
    "step": ("step", "flat wherever it has a slope: nothing comes back"),
    "relu": ("ReLU", "$[\\dots]$ is 1 where it holds, else 0: the gradient passes where "
             "ReLU let its input through"),
    "sin": ("sine", "the slope of sin is cos"),
    "cos": ("cosine", "the slope of cos is -sin"),
    "sigmoid": ("sigmoid", "$σ' = σ (1 - σ)$, entry by entry, and $σ(\\x)$ is $\\y$"),
    "tanh": ("tanh", "$\\tanh' = 1 - \\tanh^2$, entry by entry, and $\\tanh(\\x)$ is $\\y$"),
    "softplus": ("softplus", "the slope of $\\ln(1 + e^u)$ is $σ(u)$"),
    "erf": ("error function", "the slope is the bell curve $\\frac{2}{\\sqrt{π}} e^{-u^2}$"),
    "sum": ("sum over entries", "each entry that was added gets the same gradient"),
    "row_max": ("largest of a row", "only a row's largest entry gets its gradient"),
    "logsumexp": ("ln Σ exp", "row by row, the slopes of ln Σeᵘ are softmax(u)"),
    "softmax": (
        "softmax",
        "row by row, the slopes of softmax are $\\operatorname{diag}(y) - y^\\top y$",
    ),
    "dropout_mask": ("mask", "the mask is a constant: nothing comes back"),
    "mean": ("mean", "each of n entries gets 1/n of the gradient"),
    "affine": (
        "matrix product",
        "the upstream gradient times the other factor, transposed, from its own side",
    ),
    "leaky_relu": ("leaky ReLU", "the slope is 1 where $\\x > 0$ and small elsewhere"),
    "elu": ("ELU", "the slope is 1 where $\\x > 0$ and that of the exponential elsewhere"),
    "selu": ("SELU", "a scaled ELU: its slope, scaled"),
    "gelu": ("GELU", "the product rule on $u Φ(u)$, entry by entry"),
    "silu": ("SiLU", "the product rule on $u σ(u)$, entry by entry"),
    "mish": ("Mish", "the product rule on $u \\tanh(\\ln(1 + e^u))$, entry by entry"),
    "log_softmax": ("log-softmax", "row by row, $u - \\ln \\sum e^u$"),
    "layer_norm": (
        "layer norm",
        "mean and deviation of a row depend on all of its entries, so three terms meet",
    ),
    "batch_norm": (
        "batch norm",
        "mean and deviation of a column depend on all samples, so three terms meet",
    ),
    "l2": ("weight decay", "$\\frac{1}{2} \\, w^2$ has the slope $w$"),
    "mse": ("mean squared error", "$(y - t)^2$ has the slope $2 (y - t)$, and the mean "
            "divides by the number of entries"),
    "half_sum_of_squares": ("half sum of squares", "$\\frac{1}{2} \\, (y - t)^2$ has the slope "
                            "$y - t$: that is what the half is for"),
    "mae": ("mean absolute error", "$|y - t|$ has the slope ±1"),
    "huber": ("Huber", "the slope is $y - t$ near 0 and ±δ far away"),
    "quantile": ("pinball loss", "two slopes, one on each side of the target"),
    "poisson": ("Poisson likelihood", "$e^y - t y$ has the slope $e^y - t$"),
    "gaussian": ("normal likelihood", "the square over twice the variance, and its logarithm"),
    "cross_entropy": ("cross-entropy", "$-t \\ln y$ has the slope $-t/y$, entry by entry"),
    "softmax_cross_entropy": (
        "cross-entropy of softmax",
        "$\\ln \\operatorname{softmax}(u)$ has the slopes $δ_{jk} - y_k$, and each row of "
        "the targets sums to 1",
    ),
    "binary_cross_entropy": (
        "binary cross-entropy",
        "$-t \\ln y - (1 - t) \\ln(1 - y)$ has the slope $-t/y + (1 - t)/(1 - y)$",
    ),
    "sigmoid_cross_entropy": (
        "binary cross-entropy of sigmoid",
        "$\\ln(1 + e^u) - t u$ has the slope $σ(u) - t$",
    ),
    "label_smoothing": ("label smoothing", "a mixture: the gradient times its share"),
}  # fmt: skip

# two in a row that cancel: from the later to the earlier
PAIRS = {
    ("cross_entropy", "softmax"): (
        "softmax under cross-entropy",
        "$\\operatorname{diag}(y) - y^\\top y$ meets $-t/y$, and each row of the targets "
        "sums to 1",
    ),
    ("binary_cross_entropy", "sigmoid"): (
        "sigmoid under binary cross-entropy",
        "the slope $y (1 - y)$ cancels what the loss divides by",
    ),
}
CANCELS = "what the two divide and multiply by cancels"

# the simplifier's rewrites, where its own reason is not English prose enough
REWRITES: dict[str, str] = {}

EN = Language(WORDS, RULES, PAIRS, CANCELS, REWRITES, TURNED)
