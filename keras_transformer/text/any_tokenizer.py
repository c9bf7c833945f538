"""What is taken wherever a tokenizer is wanted."""

import keras

from keras_transformer.text.hub_tokenizer import HubTokenizer
from keras_transformer.text.tokenizer import Tokenizer
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer

# The last is a tokenizer of KerasHub, whose classes are layers.
AnyTokenizer = Tokenizer | VocabularyTokenizer | HubTokenizer | keras.layers.Layer
