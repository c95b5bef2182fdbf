"""The optimizers, one file each."""

from neurenix.optim.algorithms.adabelief import AdaBelief
from neurenix.optim.algorithms.adadelta import Adadelta
from neurenix.optim.algorithms.adafactor import Adafactor
from neurenix.optim.algorithms.adagrad import Adagrad
from neurenix.optim.algorithms.adam import Adam
from neurenix.optim.algorithms.adam_atan2 import AdamAtan2
from neurenix.optim.algorithms.adam_mini import AdamMini
from neurenix.optim.algorithms.adamax import Adamax
from neurenix.optim.algorithms.adamc import AdamC
from neurenix.optim.algorithms.adamp import AdamP
from neurenix.optim.algorithms.adamuon import AdaMuon
from neurenix.optim.algorithms.adamw import AdamW
from neurenix.optim.algorithms.adan import Adan
from neurenix.optim.algorithms.ademamix import AdEMAMix
from neurenix.optim.algorithms.adopt import ADOPT
from neurenix.optim.algorithms.aggmo import AggMo
from neurenix.optim.algorithms.apollo import APOLLO
from neurenix.optim.algorithms.apollo_mini import APOLLOMini
from neurenix.optim.algorithms.asgd import ASGD
from neurenix.optim.algorithms.came import CAME
from neurenix.optim.algorithms.dadapt_adam import DAdaptAdam
from neurenix.optim.algorithms.dadapt_lion import DAdaptLion
from neurenix.optim.algorithms.dadapt_sgd import DAdaptSGD
from neurenix.optim.algorithms.dion import Dion
from neurenix.optim.algorithms.dog import DoG
from neurenix.optim.algorithms.dowg import DoWG
from neurenix.optim.algorithms.ftrl import FTRL
from neurenix.optim.algorithms.galore import GaLore
from neurenix.optim.algorithms.grokfast import Grokfast
from neurenix.optim.algorithms.lamb import LAMB
from neurenix.optim.algorithms.laprop import LaProp
from neurenix.optim.algorithms.lars import LARS
from neurenix.optim.algorithms.lbfgs import LBFGS
from neurenix.optim.algorithms.lion import Lion
from neurenix.optim.algorithms.lookahead import Lookahead
from neurenix.optim.algorithms.madgrad import MADGRAD
from neurenix.optim.algorithms.mars import MARS
from neurenix.optim.algorithms.mechanic import Mechanic
from neurenix.optim.algorithms.momo import MoMo, MoMoAdam
from neurenix.optim.algorithms.muon import Muon, muon_groups
from neurenix.optim.algorithms.nadam import NAdam
from neurenix.optim.algorithms.nadamw import NAdamW
from neurenix.optim.algorithms.normuon import NorMuon
from neurenix.optim.algorithms.novograd import NovoGrad
from neurenix.optim.algorithms.prodigy import Prodigy
from neurenix.optim.algorithms.psgd_kron import PSGDKron
from neurenix.optim.algorithms.qhadam import QHAdam
from neurenix.optim.algorithms.radam import RAdam
from neurenix.optim.algorithms.radamw import RAdamW
from neurenix.optim.algorithms.rmsprop import RMSprop
from neurenix.optim.algorithms.rprop import Rprop
from neurenix.optim.algorithms.sam import SAM
from neurenix.optim.algorithms.schedule_free import ScheduleFree
from neurenix.optim.algorithms.schedule_free_adamw import ScheduleFreeAdamW
from neurenix.optim.algorithms.schedule_free_radam import ScheduleFreeRAdam
from neurenix.optim.algorithms.schedule_free_sgd import ScheduleFreeSGD
from neurenix.optim.algorithms.scion import Scion
from neurenix.optim.algorithms.sgd import SGD
from neurenix.optim.algorithms.sgdp import SGDP
from neurenix.optim.algorithms.shampoo import Shampoo
from neurenix.optim.algorithms.signum import Signum
from neurenix.optim.algorithms.sm3 import SM3
from neurenix.optim.algorithms.soap import SOAP
from neurenix.optim.algorithms.sophia import Sophia
from neurenix.optim.algorithms.sparse_adam import SparseAdam
from neurenix.optim.algorithms.splus import SPlus
from neurenix.optim.algorithms.stable_adamw import StableAdamW
from neurenix.optim.algorithms.tiger import Tiger
from neurenix.optim.algorithms.yogi import Yogi

__all__ = [
    "ADOPT",
    "APOLLO",
    "ASGD",
    "CAME",
    "FTRL",
    "LAMB",
    "LARS",
    "LBFGS",
    "MADGRAD",
    "MARS",
    "SAM",
    "SGD",
    "SGDP",
    "SM3",
    "SOAP",
    "APOLLOMini",
    "AdEMAMix",
    "AdaBelief",
    "AdaMuon",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamAtan2",
    "AdamC",
    "AdamMini",
    "AdamP",
    "AdamW",
    "Adamax",
    "Adan",
    "AggMo",
    "DAdaptAdam",
    "DAdaptLion",
    "DAdaptSGD",
    "Dion",
    "DoG",
    "DoWG",
    "GaLore",
    "Grokfast",
    "LaProp",
    "Lion",
    "Lookahead",
    "Mechanic",
    "MoMo",
    "MoMoAdam",
    "Muon",
    "NAdam",
    "NAdamW",
    "NorMuon",
    "NovoGrad",
    "PSGDKron",
    "Prodigy",
    "QHAdam",
    "RAdam",
    "RAdamW",
    "RMSprop",
    "Rprop",
    "SPlus",
    "ScheduleFree",
    "ScheduleFreeAdamW",
    "ScheduleFreeRAdam",
    "ScheduleFreeSGD",
    "Scion",
    "Shampoo",
    "Signum",
    "Sophia",
    "SparseAdam",
    "StableAdamW",
    "Tiger",
    "Yogi",
    "muon_groups",
]
