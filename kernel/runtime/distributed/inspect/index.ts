/** Pictures and checks of meshes, DTensors and sharded modules: what `display` shows, and what a learner asks when something is off. */
import './install.js';

export {
  type CommunicationCheck,
  CommunicationReport,
  Comparison,
  DTensorDebugger,
  DTensorInfo,
  inspectDTensor,
  type LocalStatistics,
  type Tolerance,
} from './debugger.js';
export {
  type DesignOptions,
  designPlacements,
  type ParallelSizes,
  type ParameterDesign,
  PlacementDesign,
  ringBytes,
  type TrafficDesign,
  type TransformerShape,
} from './designer.js';
export {
  type AxisAnalysis,
  analyseMesh,
  type GroupCheck,
  MeshAnalysis,
  type MeshAnalysisOptions,
  type MeshFinding,
  verifyMeshGroups,
} from './mesh-analysis.js';
export { meshText } from './mesh-view.js';
export {
  RedistributionLog,
  RedistributionPlan,
  type RedistributionStep,
  recordRedistributes,
} from './redistribution-view.js';
export { explainRedistribute, shardingOf, visualizeSharding } from './show.js';
export {
  meanGradients,
  ShardingValidator,
  type ShardingValidatorOptions,
  type ValidationFailure,
  ValidationReport,
  type ValidationResult,
} from './validator.js';
